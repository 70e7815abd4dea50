-- keep_places: trigger on job_queue. Whatever is inserted, deleted or changed by hand is checked (check_job) and given its
-- place.
--
-- The functions that move jobs themselves raise revision with each change, and are passed over. Two changes by hand mean
-- something else than what they say:
--
-- processing -> pending, with its token    the worker may be in the middle of an effect that must not happen twice, so the
--                                          job is not claimed before its lease is over; its settle counts until then
-- pending, processing -> cancelled, with   as by cancel_job: a job that may have begun something is put back, with
-- the same token                           cancel_requested_at, and cancelled once a worker has ended that. Until it is
--                                          put back, after the statement, it is `cancelled`, as the app's own policies
--                                          may demand
create or replace function process_jobs.keep_places() returns trigger
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  if tg_op = 'UPDATE' and (
    new.id, new.job_type, new.status, new.priority, new.created_at, new.scheduled_at, new.completed_at, new.unique_key,
    new.lease_token, new.lease_expires_at, new.woken_at, new.checkpoint is null
  ) is not distinct from (
    old.id, old.job_type, old.status, old.priority, old.created_at, old.scheduled_at, old.completed_at, old.unique_key,
    old.lease_token, old.lease_expires_at, old.woken_at, old.checkpoint is null
  ) then
    perform process_jobs.check_job(new);
    return null;
  end if;

  if tg_op <> 'INSERT' then
    if old.status = 'pending' then
      delete from process_jobs.waiting_jobs w where w.id = old.id;
      delete from process_jobs.ready_jobs r where r.id = old.id;
    elsif old.status = 'failed' then
      delete from process_jobs.failed_jobs f where f.id = old.id;
    end if;
    if old.unique_key is not null and old.status in ('pending', 'processing') then
      delete from process_jobs.unfinished_keys k where k.id = old.id;
    end if;
    if tg_op = 'DELETE' then
      return null;
    end if;
  end if;

  perform process_jobs.check_job(new);
  if new.unique_key is not null and new.status in ('pending', 'processing') then
    update process_jobs.unfinished_keys k
    set id = new.id
    where k.job_type = new.job_type collate "C" and k.unique_key = new.unique_key collate "C" and coalesce(k.id, new.id) = new.id;
    if not found then
      insert into process_jobs.unfinished_keys (job_type, unique_key, id) values (new.job_type, new.unique_key, new.id);
    end if;
  end if;
  if new.status in ('pending', 'failed') then
    perform process_jobs.place_jobs(array[new.id]);
  elsif new.status = 'processing' then
    insert into process_jobs.leases as l (token, expires_at, jobs)
    values (new.lease_token, new.lease_expires_at, array[new.id])
    on conflict (token) do update
    set expires_at = least(l.expires_at, excluded.expires_at),
      jobs = case when new.id = any (l.jobs) then l.jobs else l.jobs || new.id end;
  end if;

  if tg_op = 'UPDATE' and old.status = 'processing' and new.status = 'pending' and new.scheduled_at < new.lease_expires_at then
    update public.job_queue j set scheduled_at = new.lease_expires_at where j.id = new.id;
  elsif tg_op = 'UPDATE' and process_jobs.is_wish_to_cancel(old, new) then
    update public.job_queue j
    set status = old.status,
      cancel_requested_at = coalesce(old.cancel_requested_at, now()),
      checkpoint = coalesce(old.checkpoint, '{}'),
      scheduled_at = case
        when old.status = 'pending' then least(old.scheduled_at, greatest(now(), old.lease_expires_at))
        else old.scheduled_at
      end,
      woken_at = now(), completed_at = old.completed_at, updated_at = now()
    where j.id = new.id and j.status is not distinct from 'cancelled';
  elsif tg_op = 'UPDATE' and new.status = 'cancelled' and old.status in ('pending', 'processing')
    and (new.completed_at is null or new.event is not null)
  then
    update public.job_queue j
    set event = null, completed_at = coalesce(j.completed_at, now()), updated_at = now()
    where j.id = new.id;
  end if;
  return null;
end
$$;

-- is_wish_to_cancel: whether this update, of an app's own, only asks for the job's cancel (keep_places).
create or replace function process_jobs.is_wish_to_cancel(p_old public.job_queue, p_new public.job_queue) returns boolean
language plpgsql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return p_new.status = 'cancelled' and p_old.status in ('pending', 'processing') and p_new.revision = p_old.revision
    and p_new.lease_token is not distinct from p_old.lease_token
    and not (p_old.attempt_number = 0 and p_old.checkpoint is null and p_old.lease_token is null);
end
$$;

create or replace trigger process_jobs_keep_places
  after insert or delete on public.job_queue
  for each row execute function process_jobs.keep_places();
create or replace trigger process_jobs_keep_places_by_hand
  after update on public.job_queue
  for each row when (new.revision = old.revision) execute function process_jobs.keep_places();

create or replace function process_jobs.clear_places() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  truncate process_jobs.ready_jobs, process_jobs.waiting_jobs, process_jobs.leases, process_jobs.failed_jobs,
    process_jobs.unfinished_keys, process_jobs.marks, process_jobs.time_marks;
  return null;
end
$$;
create or replace trigger process_jobs_clear_places
  after truncate on public.job_queue
  for each statement execute function process_jobs.clear_places();
