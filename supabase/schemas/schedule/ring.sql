-- ring: calls the scheduled function, so that what has become ready need not wait for the tick.
--
-- Never fails, and waits 20 ms at most for a table of pg_net's that somebody has locked; what stood in its way is kept for
-- process_jobs_doctor, and the tick makes up for it. What the worker itself makes needs no ring, for it looks after each of
-- its calls.
create or replace function process_jobs.ring() returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '20ms'
as $$
declare
  v_function_url text;
  v_timeout_milliseconds int;
  v_failure text;
begin
  select f.function_url, f.timeout_milliseconds into v_function_url, v_timeout_milliseconds
  from process_jobs.scheduled_function f;
  if not found then
    return;
  end if;
  if nullif(current_setting('request.headers', true), '')::json ->> 'x-client-info' = 'process-jobs' then
    return;
  end if;
  -- Before the call: a call that fails is not tried again with each job.
  perform setval('process_jobs.last_ring', (extract(epoch from clock_timestamp()) * 1000)::bigint);
  perform process_jobs.call_worker(v_function_url, v_timeout_milliseconds);
exception
  when others then
    v_failure := sqlerrm;
    begin
      update process_jobs.scheduled_function f
      set ring_failed_at = clock_timestamp(), ring_failure = v_failure
      where f.only_row = any (array(select l.only_row from process_jobs.scheduled_function l for update skip locked));
    exception
      when others then
        null;
    end;
end
$$;
