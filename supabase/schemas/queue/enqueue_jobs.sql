-- enqueue_jobs: puts up to 1000 jobs into the queue, all or none, and returns their ids in the order given.
--
-- p_jobs is a json array of {job_type, payload, priority?, max_attempts?, scheduled_at?, unique_key?, notify_url?}, each bounded as
-- the arguments of enqueue_job are, null being the default. An element whose unique_key an unfinished job of its type
-- has, or an earlier element, gets that job's id. Which one runs first is up to priority and scheduled_at, not to their
-- order.
--
-- Refuses (22023) all of them if one is not an object, has another key, or a value that is of another type or out of
-- bounds; the message names the first such element and its key, as `p_jobs[3].priority`.
-- created_by becomes whoever calls (caller). Calls that share unique keys, in whichever order, wait for each other
-- without a deadlock.

create or replace function public.enqueue_jobs(p_jobs jsonb) returns uuid[]
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set jit = off
as $$
declare
  v_keys constant text[] := '{job_type,payload,priority,max_attempts,scheduled_at,unique_key,notify_url}';
  v_refusal text;
begin
  if p_jobs is null or jsonb_typeof(p_jobs) <> 'array' then
    raise exception 'p_jobs must be a json array, not %', coalesce(jsonb_typeof(p_jobs), 'null') using errcode = '22023';
  end if;
  if jsonb_array_length(p_jobs) > 1000 then
    raise exception 'p_jobs must hold at most 1000 jobs, not %', jsonb_array_length(p_jobs) using errcode = '22023';
  end if;

  select r.refusal into v_refusal
  from (
    select e.n, format('p_jobs[%s]', e.n - 1) || case
        when jsonb_typeof(e.job) <> 'object' then format(' must be a json object, not %s', jsonb_typeof(e.job))
        when e.job - v_keys <> '{}' then
          format(' has an unknown key "%s"', left((select min(k) from jsonb_object_keys(e.job - v_keys) k), 200))
        when jsonb_typeof(e.job -> 'job_type') is distinct from 'string' then
          format('.job_type must be a string, not %s', coalesce(jsonb_typeof(e.job -> 'job_type'), 'null'))
        when not exists (select from public.job_types t where t.job_type = e.job ->> 'job_type') then
          format('.job_type: unknown job type "%s": job_types has no row for it', left(e.job ->> 'job_type', 200))
        when jsonb_typeof(e.job -> 'payload') is distinct from 'object' then
          format('.payload must be a json object, not %s', coalesce(jsonb_typeof(e.job -> 'payload'), 'null'))
        when process_jobs.json_refusal('.payload', e.job -> 'payload') is not null then
          process_jobs.json_refusal('.payload', e.job -> 'payload')
        -- Of json, only numbers are between numbers.
        when e.job ->> 'priority' is not null
          and not (e.job -> 'priority' between '-2147483648' and '2147483647' and e.job ->> 'priority' ~ '^-?[0-9]+$')
        then
          format('.priority must be an integer between -2147483648 and 2147483647, not %s',
            left(e.job ->> 'priority', 100))
        when e.job ->> 'max_attempts' is not null
          and not (e.job -> 'max_attempts' between '1' and '100' and e.job ->> 'max_attempts' ~ '^[0-9]+$')
        then
          format('.max_attempts must be an integer between 1 and 100, not %s', left(e.job ->> 'max_attempts', 100))
        when jsonb_typeof(e.job -> 'unique_key') not in ('string', 'null') then
          format('.unique_key must be a string, not %s', jsonb_typeof(e.job -> 'unique_key'))
        when length(e.job ->> 'unique_key') not between 1 and 200 then
          format('.unique_key must have between 1 and 200 characters, not %s', length(e.job ->> 'unique_key'))
        when jsonb_typeof(e.job -> 'notify_url') not in ('string', 'null') then
          format('.notify_url must be a string, not %s', jsonb_typeof(e.job -> 'notify_url'))
        when e.job ->> 'scheduled_at' is not null then
          case
            when jsonb_typeof(e.job -> 'scheduled_at') <> 'string' then
              format('.scheduled_at must be a string, not %s', jsonb_typeof(e.job -> 'scheduled_at'))
            when process_jobs.time_or_null(e.job ->> 'scheduled_at') is null then
              format('.scheduled_at must be a time, not "%s"', left(e.job ->> 'scheduled_at', 100))
            when not isfinite(process_jobs.time_or_null(e.job ->> 'scheduled_at')) then
              format('.scheduled_at must be finite, not %s', process_jobs.time_or_null(e.job ->> 'scheduled_at'))
          end
      end as refusal
    from jsonb_array_elements(p_jobs) with ordinality e (job, n)
  ) r
  where r.refusal is not null
  order by r.n
  limit 1;
  if v_refusal is not null then
    raise exception '%', v_refusal using errcode = '22023';
  end if;

  return process_jobs.insert_jobs(p_jobs, process_jobs.caller());
end
$$;

revoke execute on function public.enqueue_jobs(jsonb) from public, anon, authenticated;
grant execute on function public.enqueue_jobs(jsonb) to service_role;
