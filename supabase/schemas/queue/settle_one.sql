-- settle_one: records one outcome, as for settle_jobs, for complete_job, snooze_job and cancel_job.
create or replace function process_jobs.settle_one(p_outcome jsonb) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set lock_timeout = '300ms'
as $$
begin
  return (process_jobs.settle_jobs(jsonb_build_array(p_outcome)))[1];
end
$$;
