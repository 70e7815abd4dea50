-- call_worker: calls the function through pg_net, once the transaction has committed; returns pg_net's request id. For
-- tick and ring.
--
-- pg_net drops the connection after p_timeout_milliseconds, therefore `Prefer: respond-async`: the function answers at
-- once and works on. Its answer is ignored. Refuses (55000), and says what to do, where the key cannot be read, pg_net or
-- the URL is missing, or pg_net does not send what it has been given.
create or replace function process_jobs.call_worker(p_function_url text, p_timeout_milliseconds int) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_http_post regprocedure := to_regprocedure('net.http_post(text, jsonb, jsonb, jsonb, integer)');
  v_queue regclass := to_regclass('net.http_request_queue');
  v_secret_key text;
  v_unsent int;
  v_request_id bigint;
begin
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
  -- (In a serializable transaction the look would be a reason not to commit beside another that calls.)
  if v_queue is not null and current_setting('transaction_isolation') <> 'serializable' then
    execute format('select count(*) from (select from %s q where q.url = $1 limit 20) unsent', v_queue)
    using p_function_url
    into v_unsent;
    if v_unsent = 20 then
      raise exception 'pg_net does not send, so the function was not called: 20 calls wait in net.http_request_queue (select net.worker_restart())'
        using errcode = '55000';
    end if;
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
