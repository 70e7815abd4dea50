-- settle_one: records one outcome, as for settle_jobs, for complete_job, snooze_job and cancel_job.
create or replace function process_jobs.settle_one(p_outcome jsonb) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set enable_sort = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_generic_plan
set lock_timeout = '300ms'
as $$
begin
  return (process_jobs.settle_jobs(jsonb_build_array(p_outcome)))[1];
end
$$;
