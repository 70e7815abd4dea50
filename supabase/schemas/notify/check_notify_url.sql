-- check_notify_url: trigger on job_queue; refuses (22023) a notify_url that address_refusal refuses, whoever writes it.
--
-- What a user gives must be a public address, and the job says whose it is (notify_user), for the worker to look again and
-- to sign it with that user's secret. Not the address that the job's type has, nor what a job hands on: those are looked at
-- where they are given.
--
-- Rows that a restore inserts, whose times are not of now, are left as they are.
create or replace function process_jobs.check_notify_url() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user text := case
    when current_setting('process_jobs.hands_on', true) is distinct from 'on' then process_jobs.calling_user()
  end;
  v_owner text := new.notify_user;
  v_refusal text;
begin
  if v_user is not null then
    v_owner := case
      when tg_op = 'UPDATE' and (new.notify_url, new.job_type) is not distinct from (old.notify_url, old.job_type) then old.notify_user
      when new.notify_url is distinct from (select t.notify_url from public.job_types t where t.job_type = new.job_type) then v_user
    end;
  elsif tg_op = 'INSERT' and new.created_at <> now() and new.updated_at <> now() then
    return new;
  end if;
  v_refusal := process_jobs.address_refusal('notify_url', new.notify_url, v_owner is not null);
  if v_refusal is not null then
    raise exception '%', v_refusal using errcode = '22023';
  end if;
  if tg_op = 'INSERT' then
    new.notify_user := v_owner;
  elsif new.notify_user is distinct from v_owner then
    if new.status in ('completed', 'failed', 'cancelled') then
      raise exception 'notify_url and notify_user stay as they are when a job ends' using errcode = '42501';
    end if;
    perform set_config('process_jobs.hands_on', 'on', true);
    update public.job_queue j set notify_user = v_owner where j.id = new.id;
    perform set_config('process_jobs.hands_on', '', true);
  end if;
  return new;
end
$$;

create or replace trigger process_jobs_check_notify_url
  before insert on public.job_queue
  for each row
  when (new.notify_url is not null)
  execute function process_jobs.check_notify_url();
-- (After: a trigger before each update would have claims and settles lock their rows once more.)
create or replace trigger process_jobs_check_changed_notify_url
  after update of notify_url, notify_user, job_type on public.job_queue
  for each row
  when (new.notify_url is not null)
  execute function process_jobs.check_notify_url();
