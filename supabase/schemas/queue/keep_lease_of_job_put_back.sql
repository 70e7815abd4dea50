-- keep_lease_of_job_put_back: trigger on job_queue. A job put back to pending by hand while a worker has it is not
-- claimed before its lease is over.
--
-- The worker may be in the middle of an effect that must not happen twice; its settle counts while nobody else has
-- claimed the job. No function of process-jobs puts a job back with its token.
create or replace function process_jobs.keep_lease_of_job_put_back() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  new.scheduled_at := greatest(new.scheduled_at, new.lease_expires_at);
  return new;
end
$$;

create or replace trigger process_jobs_keep_lease
  before update of status on public.job_queue
  for each row
  when (old.status = 'processing' and new.status = 'pending' and new.lease_token is not null)
  execute function process_jobs.keep_lease_of_job_put_back();
