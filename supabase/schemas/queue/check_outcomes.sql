-- check_outcomes: refuses (22023) outcomes of which one is out of the bounds of its function's arguments; for settle_jobs.
create or replace function process_jobs.check_outcomes(p_outcomes jsonb) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_refusal text;
begin
  if jsonb_path_exists(p_outcomes, '$[*] ? (@.type() != "object")') then
    raise exception 'p_outcomes must hold json objects' using errcode = '22023';
  end if;
  select min(case
      when o.job_id is null or o.lease_token is null then 'job_id and lease_token must not be null'
      when o.outcome is null or o.outcome not in ('completed', 'failed', 'snoozed', 'cancelled') then
        format('outcome must be completed, failed, snoozed or cancelled, not %s',
          coalesce(quote_literal(o.outcome), 'null'))
      when jsonb_typeof(o.follow_ups) <> 'array' then
        format('p_follow_ups must be a json array, not %s', jsonb_typeof(o.follow_ups))
      when o.outcome = 'failed' and coalesce(o.error, '') = '' then 'p_error must not be empty'
      when o.retry not in ('backoff', 'never') then
        format('p_retry must be ''backoff'' or ''never'', not %L', o.retry)
      -- NaN counts as greater than every number.
      when o.outcome = 'snoozed' and (o.delay_seconds between 0 and 2592000) is not true then
        format('p_delay_seconds must be between 0 and 2592000, not %s', coalesce(o.delay_seconds::text, 'null'))
      when o.progress not between 0 and 100 then
        format('p_progress must be between 0 and 100, not %s', o.progress)
      when o.outcome = 'snoozed' then process_jobs.json_refusal('p_checkpoint', o.checkpoint)
    end)
  into v_refusal
  from jsonb_to_recordset(p_outcomes) o (
    outcome text, job_id uuid, lease_token uuid, follow_ups jsonb, error text, retry text, delay_seconds double precision,
    checkpoint jsonb, progress int);
  if v_refusal is not null then
    raise exception '%', v_refusal using errcode = '22023';
  end if;
end
$$;
