-- schedule_process_jobs: has the function called whenever a job is ready: at once by whoever makes it ready (ring), and by
-- pg_cron for what that has missed; returns pg_cron's job id.
--
-- Creates or replaces the cron job process-jobs-worker, which runs process_jobs.tick, and process-jobs-prune-runs,
-- which runs process_jobs.prune_runs each night.
-- p_function_url           https://<project>.supabase.co/functions/v1/process-jobs
-- p_secret_key             a secret or service-role key, of characters that a header can carry; stored in Vault if it
--                          exists, never in the cron job's text; null keeps the stored one
-- p_schedule               five cron fields, or 'N seconds' (1 to 59) from pg_cron 1.5 on
-- p_timeout_milliseconds   1 to 60000, for the 202 only, not for the work
--
-- Refuses (22023) arguments out of these bounds, placeholders of an example, and a schedule of six fields, which hosted
-- pg_cron accepts and misreads; (55000) if pg_cron or pg_net is missing or no key is known.
create or replace function public.schedule_process_jobs(
  p_function_url text,
  p_secret_key text default null,
  p_schedule text default '* * * * *',
  p_timeout_milliseconds int default 5000
) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_schedule text := btrim(p_schedule);
  v_seconds int := substring(btrim(p_schedule) from '^(\d{1,4}) seconds?$')::int;
  -- '1.4-1', '1.6'
  v_cron_version text := (
    select substring(e.extversion from '^\d+\.\d+') from pg_catalog.pg_extension e where e.extname = 'pg_cron'
  );
  v_schedule_job regprocedure := to_regprocedure('cron.schedule(text, text, text)');
  v_cron_job_id bigint;
begin
  if p_function_url is null or p_function_url !~ '^https?://[^\s/]+(/\S*)?$' then
    raise exception 'p_function_url must be an http or https url, not %', coalesce(quote_literal(p_function_url), 'null')
      using errcode = '22023';
  end if;
  -- An example, pasted as it stands.
  if p_function_url ~ '[<>]' then
    raise exception 'p_function_url still has a placeholder: %', quote_literal(p_function_url) using errcode = '22023';
  end if;
  if p_secret_key ~ '[<>…]' then
    raise exception 'p_secret_key is still a placeholder: give a secret or service-role key' using errcode = '22023';
  end if;
  if p_secret_key = '' then
    raise exception 'p_secret_key must not be empty' using errcode = '22023';
  end if;
  if p_secret_key !~ '^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$' then
    raise exception 'p_secret_key must have no line ends, blanks around it or other characters that a header cannot carry'
      using errcode = '22023';
  end if;
  if p_timeout_milliseconds is null or p_timeout_milliseconds not between 1 and 60000 then
    raise exception 'p_timeout_milliseconds must be between 1 and 60000, not %', coalesce(p_timeout_milliseconds::text, 'null')
      using errcode = '22023';
  end if;
  if (v_seconds between 1 and 59 or v_schedule ~ '^\S+(\s+\S+){4}$') is not true then
    raise exception 'p_schedule must have five cron fields or be ''N seconds'' with N from 1 to 59, not %',
      coalesce(quote_literal(p_schedule), 'null')
      using errcode = '22023';
  end if;

  if v_cron_version is null then
    raise exception 'pg_cron is not installed in this database: create extension pg_cron, or call the function by other means'
      using errcode = '55000';
  end if;
  if to_regprocedure('net.http_post(text, jsonb, jsonb, jsonb, integer)') is null then
    raise exception 'pg_net is not installed in this database: create extension pg_net, or call the function by other means'
      using errcode = '55000';
  end if;
  if v_seconds is not null and string_to_array(v_cron_version, '.')::int[] < array[1, 5] then
    raise exception 'pg_cron % takes no seconds, 1.5 and later do: p_schedule must have five cron fields, not %',
      v_cron_version, quote_literal(p_schedule)
      using errcode = '22023';
  end if;
  if p_secret_key is not null then
    perform process_jobs.store_secret(p_secret_key);
  elsif process_jobs.read_secret() is null then
    raise exception 'no key is stored yet: give p_secret_key, a secret or service-role key' using errcode = '55000';
  end if;

  -- One of that name that an app has had before is replaced, and comes back when process-jobs is taken out.
  execute format(
    $q$
    insert into process_jobs.undo (statement)
    select format('select %%s(%%L, %%L, %%L)', $1, j.jobname, j.schedule, j.command)
    from %s j
    where j.jobname = 'process-jobs-worker' and j.username = current_user and j.command !~ '^select process_jobs\.'
    $q$, to_regclass('cron.job'))
  using v_schedule_job::regproc;
  execute format('select %s($1, $2, $3)', v_schedule_job::regproc)
  using 'process-jobs-worker', v_schedule,
    format('select process_jobs.tick(%L, %s)', p_function_url, p_timeout_milliseconds)
  into v_cron_job_id;
  execute format('select %s($1, $2, $3)', v_schedule_job::regproc)
  using 'process-jobs-prune-runs', '17 3 * * *', 'select process_jobs.prune_runs()';
  insert into process_jobs.scheduled_function as f (function_url, timeout_milliseconds)
  values (p_function_url, p_timeout_milliseconds)
  on conflict (only_row) do update
  set function_url = excluded.function_url, timeout_milliseconds = excluded.timeout_milliseconds,
    ring_failed_at = null, ring_failure = null;
  perform setval('process_jobs.last_ring', 1);
  return v_cron_job_id;
end
$$;

revoke execute on function public.schedule_process_jobs(text, text, text, int) from public, anon, authenticated;
grant execute on function public.schedule_process_jobs(text, text, text, int) to service_role;
