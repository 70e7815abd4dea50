-- clear_places: trigger on job_queue: after a truncate there are no places either.
create or replace function process_jobs.clear_places() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  set constraints process_jobs.ring_at_commit immediate;
  set constraints process_jobs.ring_at_commit deferred;
  truncate process_jobs.ready_jobs, process_jobs.waiting_jobs, process_jobs.leases, process_jobs.failed_jobs,
    process_jobs.unfinished_keys, process_jobs.marks, process_jobs.time_marks, process_jobs.turns;
  return null;
end
$$;
create or replace trigger process_jobs_clear_places
  after truncate on public.job_queue
  for each statement execute function process_jobs.clear_places();
