-- tick: run by the cron job process-jobs-worker: calls the function if a job is ready or a lease has expired, and
-- returns pg_net's request id; null: nothing to do, no call.
--
-- The next tick makes up for a lost call. A tick that cannot call (call_worker) fails, which shows in
-- cron.job_run_details.
create or replace function process_jobs.tick(p_function_url text, p_timeout_milliseconds int) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- In the new month no drain would come to resume the type.
  perform process_jobs.look_at_budget();
  if public.seconds_until_next_job() is distinct from 0 then
    return null;
  end if;
  return process_jobs.call_worker(p_function_url, p_timeout_milliseconds);
end
$$;
