-- tick: run by the cron job process-jobs-worker: calls the function if a job is ready or a lease has expired, and
-- returns pg_net's request id; null: nothing to do, no call.
--
-- pg_net sends after commit and drops the connection after p_timeout_milliseconds, therefore `Prefer: respond-async`:
-- the function answers at once and works on. Its answer is ignored; the next tick makes up for a lost call. A tick that
-- cannot call, because the key cannot be read or pg_net or the URL is missing, fails (55000) and says what to do, which
-- shows in cron.job_run_details.
create or replace function process_jobs.tick(p_function_url text, p_timeout_milliseconds int) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_http_post regprocedure := to_regprocedure('net.http_post(text, jsonb, jsonb, jsonb, integer)');
  v_secret_key text;
  v_request_id bigint;
begin
  -- In the new month no drain would come to resume the type.
  perform process_jobs.look_at_budget();
  if public.seconds_until_next_job() is distinct from 0 then
    return null;
  end if;
  begin
    v_secret_key := process_jobs.read_secret();
  exception
    when others then
      raise exception 'the key cannot be read, so the function was not called: % (call schedule_process_jobs with p_secret_key)', sqlerrm
        using errcode = '55000';
  end;
  if coalesce(v_secret_key, '') = '' then
    raise exception 'no key is stored, so the function was not called: call schedule_process_jobs with p_secret_key'
      using errcode = '55000';
  elsif v_http_post is null then
    raise exception 'pg_net is not installed, so the function was not called: create extension pg_net' using errcode = '55000';
  elsif (p_function_url ~ '^https?://') is not true or p_timeout_milliseconds is null then
    raise exception 'there is no address or no time-out, so the function was not called: call schedule_process_jobs again'
      using errcode = '55000';
  end if;
  execute format(
    'select %s(url := $1, body := $2, headers := $3, timeout_milliseconds := $4)', v_http_post::regproc)
  using p_function_url, '{}'::jsonb,
    jsonb_build_object(
      'apikey', v_secret_key, 'Content-Type', 'application/json', 'Prefer', 'respond-async'),
    p_timeout_milliseconds
  into v_request_id;
  return v_request_id;
end
$$;
