-- post_process_jobs: what the cron job process-jobs-worker runs: calls the function when a job is ready
-- or a lease has expired, and answers pg_net's request id; null: nothing to do, nobody was called.
--
-- pg_net sends after commit and drops the connection when p_timeout_milliseconds are over, therefore
-- `Prefer: respond-async`: the function answers at once and works on. Its answer is not looked at; a
-- lost call is made up for by the next tick. A tick that can call nobody fails (55000), which shows in
-- cron.job_run_details; of those, what is older than a week is deleted each night.
create or replace function public.post_process_jobs(p_function_url text, p_timeout_milliseconds int) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_secret_key text := public.read_process_jobs_secret();
  v_request_id bigint;
begin
  if to_char(now(), 'HH24:MI') = '03:17' then
    perform public.prune_process_jobs_runs();
  end if;
  if public.seconds_until_next_job() is distinct from 0 then
    return null;
  end if;
  if v_secret_key is null then
    raise exception 'no key is stored, so the function was not called: call schedule_process_jobs with p_secret_key'
      using errcode = '55000';
  end if;
  if to_regproc('net.http_post') is null then
    raise exception 'pg_net is not installed, so the function was not called: create extension pg_net' using errcode = '55000';
  end if;
  execute format(
    'select %s(url := $1, body := $2, headers := $3, timeout_milliseconds := $4)', to_regproc('net.http_post'))
  using p_function_url, '{}'::jsonb,
    jsonb_build_object(
      'apikey', v_secret_key, 'Content-Type', 'application/json', 'Prefer', 'respond-async'),
    p_timeout_milliseconds
  into v_request_id;
  return v_request_id;
end
$$;

revoke execute on function public.post_process_jobs(text, int) from public, anon, authenticated, service_role;
