-- keep_cancel_a_wish: trigger on job_queue; a job set to cancelled by an update, as apps do, goes the way of cancel_job:
-- one that may have begun something is cancelled once a worker has ended that.
--
-- No function of ours cancels a job that keeps its lease_token.
create or replace function process_jobs.keep_cancel_a_wish() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if old.attempt_number = 0 and old.checkpoint is null and old.lease_token is null then
    new.event := null;
    new.completed_at := coalesce(new.completed_at, now());
  else
    new.status := old.status;
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

create or replace trigger keep_cancel_a_wish
  before update of status on public.job_queue
  for each row
  when (
    new.status = 'cancelled' and old.status in ('pending', 'processing')
    and new.lease_token is not distinct from old.lease_token
  )
  execute function process_jobs.keep_cancel_a_wish();
