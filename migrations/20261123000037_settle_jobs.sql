-- settle_jobs: records what runs came to, all in one statement; the way of complete_job, snooze_job, cancel_job and
-- exchange_jobs, which say what each outcome does. Answers for each, in order: true: recorded, false: the job is not
-- the caller's any more, already final, or not there, and nothing was changed.
--
-- p_outcomes  a json array of objects with "job_id", "lease_token" and "outcome":
--   completed  "result", "follow_ups"
--   failed     "error", "error_kind", "retry": "backoff" (default) or "never"
--   snoozed    "delay_seconds", "checkpoint", "progress", "hold_job_type", "pause_reason"
--   cancelled
--
-- Of two outcomes with the same token the first counts. Refuses (22023) them all where one is out of the bounds of
-- those functions' arguments. Locks jobs in the order of their ids, then generations, then types.
create or replace function public.settle_jobs(p_outcomes jsonb) returns boolean[]
language plpgsql
security definer
set search_path = ''
-- With statistics of when the queue was empty the planner would read it all.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_refusal text;
  v_ids uuid[];
  v_recorded boolean[];
  v_settled record;
  v_waits jsonb[] = '{}';
  v_wait jsonb;
begin
  if p_outcomes = '[]' then
    return '{}';
  end if;
  if jsonb_path_exists(p_outcomes, '$[*] ? (@.type() != "object")') then
    raise exception 'p_outcomes must hold json objects' using errcode = '22023';
  end if;

  select array_agg(o.job_id), array_agg(false), min(case
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
    when o.progress not between 0 and 100 then format('p_progress must be between 0 and 100, not %s', o.progress)
  end)
  into v_ids, v_recorded, v_refusal
  from jsonb_to_recordset(p_outcomes) o (
    outcome text, job_id uuid, lease_token uuid, follow_ups jsonb, error text, retry text,
    delay_seconds double precision, progress int
  );
  if v_refusal is not null then
    raise exception '%', v_refusal using errcode = '22023';
  end if;

  for v_settled in
    with outcome as (
      select distinct on (o.job_id, o.lease_token) o.*
      from rows from (
        jsonb_to_recordset(p_outcomes) as (
          outcome text, job_id uuid, lease_token uuid, result jsonb, follow_ups jsonb, error text, error_kind text,
          retry text, delay_seconds double precision, checkpoint jsonb, progress int, hold_job_type boolean,
          pause_reason text)
      ) with ordinality o
      order by o.job_id, o.lease_token, o.ordinality
    ), held as (
      select j.id, o.*,
        case
          when o.outcome = 'snoozed' then 'pending'
          when o.outcome = 'failed' and o.retry is distinct from 'never' and j.attempt_number < j.max_attempts then 'pending'
          when o.outcome = 'cancelled' or j.cancel_requested_at is not null then 'cancelled'
          else o.outcome
        end as status
      from public.job_queue j
      join outcome o on o.job_id = j.id and o.lease_token = j.lease_token
      where j.id = any (v_ids) and j.status in ('processing', 'pending')
      order by j.id
      for update of j
    )
    update public.job_queue j
    set status = h.status,
      attempt_number = case when h.outcome = 'snoozed' then greatest(0, j.attempt_number - 1) else j.attempt_number end,
      scheduled_at = case
        when h.status <> 'pending' then j.scheduled_at
        when h.outcome = 'failed' then now() + coalesce((
          select make_interval(secs => (0.75 + 0.5 * random()) *
            least(t.backoff_max_seconds, t.backoff_base_seconds * power(2, greatest(0, j.attempt_number - 1))))
          from public.job_types t
          where t.job_type = j.job_type), '0')
        when j.woken_at is null then now() + make_interval(secs => h.delay_seconds)
        else now()
      end,
      woken_at = case when h.outcome <> 'snoozed' then j.woken_at end,
      checkpoint = case when h.outcome = 'snoozed' then coalesce(h.checkpoint, j.checkpoint) else j.checkpoint end,
      progress = case
        when h.status = 'completed' then 100
        when h.outcome = 'snoozed' then coalesce(h.progress, j.progress)
        else j.progress
      end,
      started_at = case
        when h.outcome <> 'snoozed' or coalesce(h.checkpoint, j.checkpoint) is not null then j.started_at
      end,
      result = case when h.status = 'completed' then h.result else j.result end,
      error_message = case h.outcome
        when 'completed' then null
        when 'failed' then left(h.error, 2000)
        else j.error_message
      end,
      errors = case
        when h.outcome = 'failed' then j.errors || jsonb_build_object(
          'attempt', j.attempt_number, 'at', now(), 'kind', left(coalesce(h.error_kind, 'error'), 100),
          'message', left(h.error, 2000))
        else j.errors
      end,
      event = case when h.status = 'pending' then j.event end,
      completed_at = case when h.status <> 'pending' then now() end,
      lease_token = null, lease_expires_at = null, updated_at = now()
    from held h
    where j.id = any (v_ids) and j.id = h.id
    returning h.ordinality, h.status, h.follow_ups, j.job_type,
      h.outcome = 'snoozed' and h.hold_job_type as holds, h.delay_seconds,
      case when h.outcome = 'snoozed' then h.pause_reason end as pause_reason
  loop
    v_recorded[v_settled.ordinality] := true;
    if v_settled.status = 'completed' and v_settled.follow_ups <> '[]' then
      perform public.enqueue_follow_ups(v_settled.follow_ups);
    end if;
    if v_settled.holds or v_settled.pause_reason is not null then
      v_waits := v_waits || to_jsonb(v_settled);
    end if;
  end loop;

  foreach v_wait in array v_waits loop
    if (v_wait ->> 'holds')::boolean then
      update public.job_types t
      set held_until = greatest(t.held_until, now() + make_interval(secs => (v_wait ->> 'delay_seconds')::double precision))
      where t.job_type = v_wait ->> 'job_type';
    end if;
    if v_wait ->> 'pause_reason' is not null then
      perform public.pause_job_type(v_wait ->> 'job_type', v_wait ->> 'pause_reason');
    end if;
  end loop;
  return v_recorded;
end
$$;

revoke execute on function public.settle_jobs(jsonb) from public, anon, authenticated, service_role;
