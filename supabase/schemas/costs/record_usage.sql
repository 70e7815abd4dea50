-- record_usage: writes into usage_ledger what has ended outside; what is there already stays as it is.
--
-- p_outcomes  a json array of objects, those with "job_id" and "usage": [{id, status, model?, predict_seconds?, images?}],
--             as usage_ledger has them; a model's version is cut off
--
-- The cost is seconds and pictures by the model's price; of an aborted one, which never started, nothing. It is unknown
-- without a price, and where the price is for something that is not known.
--
-- An end outside is a fact whosever the job is: settle_jobs records it also with an outcome that comes too late, and
-- wake_job for a job that has ended. Both call it before they lock a job. Refuses (22023) a usage out of bounds.
create or replace function process_jobs.record_usage(p_outcomes jsonb) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_refusal text;
begin
  if jsonb_path_exists(p_outcomes, '$[*] ? (@.usage.type() != "array" || exists(@.usage[*] ? (@.type() != "object")))') then
    raise exception 'p_usage must be a json array of objects' using errcode = '22023';
  end if;
  select min(case
      when (length(u.id) between 1 and 200) is not true then 'p_usage: id must have 1 to 200 characters'
      when (u.status in ('succeeded', 'failed', 'canceled', 'aborted')) is not true then
        format('p_usage: status must be succeeded, failed, canceled or aborted, not %s', coalesce(quote_literal(left(u.status, 100)), 'null'))
      when length(u.model) > 300 then 'p_usage: model must have at most 300 characters'
      -- NaN counts as greater than every number.
      when u.predict_seconds not between 0 and 1000000 then
        format('p_usage: predict_seconds must be between 0 and 1000000, not %s', u.predict_seconds)
      when u.images not between 0 and 1000 then format('p_usage: images must be between 0 and 1000, not %s', u.images)
    end)
  into v_refusal
  from jsonb_to_recordset(p_outcomes) o (usage jsonb)
  cross join lateral jsonb_to_recordset(o.usage) u (
    id text, model text, status text, predict_seconds double precision, images int);
  if v_refusal is not null then
    raise exception '%', v_refusal using errcode = '22023';
  end if;

  -- In the order of the ids: two calls with the same ones must not wait for each other in a ring.
  insert into public.usage_ledger (id, job_id, user_id, model, status, predict_seconds, images, cost)
  select u.id, o.job_id, left(j.payload ->> 'user_id', 200), nullif(lower(split_part(u.model, ':', 1)), ''), u.status,
    u.predict_seconds, u.images,
    case
      when coalesce(p.per_second, p.per_image) is null then null
      when u.status = 'aborted' then 0
      when p.per_second is not null and u.predict_seconds is null or p.per_image is not null and u.images is null then null
      else coalesce(u.predict_seconds::numeric * p.per_second, 0) + coalesce(u.images * p.per_image, 0)
    end
  from jsonb_to_recordset(p_outcomes) o (job_id uuid, usage jsonb)
  cross join lateral jsonb_to_recordset(o.usage) u (
    id text, model text, status text, predict_seconds double precision, images int)
  left join public.job_queue j on j.id = o.job_id
  left join public.model_prices p on p.model = lower(split_part(u.model, ':', 1))
  where o.job_id is not null
  order by u.id
  on conflict (id) do nothing;
  perform process_jobs.look_at_budget();
end
$$;
