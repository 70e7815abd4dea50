-- note_cancel, keep_cancel_a_wish: triggers on job_queue. A job that an app's update sets to cancelled is treated as by
-- cancel_job: if it may have begun something, it is cancelled once a worker has ended that.
--
-- No function of process-jobs cancels a job that keeps its lease_token. Until it is put back, after the statement, the
-- job is `cancelled`, as the app's own policies may demand.
create or replace function process_jobs.note_cancel() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if old.attempt_number = 0 and old.checkpoint is null and old.lease_token is null then
    new.event := null;
    new.completed_at := coalesce(new.completed_at, now());
  else
    new.cancel_requested_at := coalesce(old.cancel_requested_at, now());
    new.checkpoint := coalesce(old.checkpoint, '{}');
    new.scheduled_at := case
      when old.status = 'pending' then least(old.scheduled_at, greatest(now(), old.lease_expires_at))
      else old.scheduled_at
    end;
    new.woken_at := now();
    new.completed_at := old.completed_at;
  end if;
  new.updated_at := now();
  return new;
end
$$;

create or replace function process_jobs.keep_cancel_a_wish() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update public.job_queue j set status = old.status where j.id = new.id and j.status is not distinct from 'cancelled';
  return null;
end
$$;

create or replace trigger process_jobs_note_cancel
  before update of status on public.job_queue
  for each row
  when (
    new.status = 'cancelled' and old.status in ('pending', 'processing')
    and new.lease_token is not distinct from old.lease_token
  )
  execute function process_jobs.note_cancel();
create or replace trigger process_jobs_keep_cancel_a_wish
  after update of status on public.job_queue
  for each row
  when (
    new.status = 'cancelled' and new.cancel_requested_at is not null and old.status in ('pending', 'processing')
    and new.lease_token is not distinct from old.lease_token
  )
  execute function process_jobs.keep_cancel_a_wish();
