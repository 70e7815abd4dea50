-- settle_jobs: records outcomes in one statement, for exchange_jobs and settle_one. The headers of complete_job,
-- snooze_job and cancel_job describe each outcome. Returns for each, in order: true: recorded, false: the job is not the
-- caller's any more, is final already, or does not exist, and nothing changed.
--
-- p_outcomes  a json array of objects with "job_id", "lease_token" and "outcome":
--   completed  "result", "follow_ups"
--   failed     "error", "error_kind", "retry": "backoff" (default) or "never", "unrecorded": {"result", "follow_ups"} of a
--              refused completion, kept for retry_job
--   snoozed    "delay_seconds", "checkpoint", "progress", "hold_job_type", "pause_reason"
--   cancelled
--   each       "usage", recorded also where the outcome is not (record_usage)
--
-- Where the columns go, by the status that comes of an outcome:
--
--                   completed     failed               failed, again       snoozed                  cancelled
--   status          completed     failed               pending             pending                  cancelled
--   attempt_number  same          same                 same                one less                 same
--   scheduled_at    same          same                 after the backoff   delay; now if woken      same
--   checkpoint      same          same                 same                new, or same             same
--   progress        100           same                 same                new, or same             same
--   started_at      same          same                 same                null without checkpoint  same
--   result          new           unrecorded's         same                same                     same
--   error_message   null          new                  new                 same                     same, or new
--   errors          same          one more             one more            same                     same, or one more
--   event           null          null                 same                same                     null
--   completed_at    now           now                  null                null                     now
--
-- All give the lease back. A job that is to be cancelled is `cancelled` where it would be completed or failed.
--
-- Of two outcomes with the same token one counts. Refuses (22023) all outcomes if one is out of the bounds of
-- those functions' arguments. Locks jobs in the order of their ids, then generations, then types. The caller's settings
-- leave the planner one plan (exchange_jobs).
create or replace function process_jobs.settle_jobs(p_outcomes jsonb) returns boolean[]
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
as $$
declare
  -- Of the column's type, which may be an app's own.
  v_pending constant public.job_queue.status%type := 'pending';
  v_completed constant public.job_queue.status%type := 'completed';
  v_failed constant public.job_queue.status%type := 'failed';
  v_cancelled constant public.job_queue.status%type := 'cancelled';
  v_count constant int := jsonb_array_length(p_outcomes);
  v_numbers bigint[];
  v_moved uuid[];
  v_rest jsonb;
  v_wait record;
begin
  if v_count = 0 then
    return '{}';
  end if;
  -- As in claim_jobs.
  set constraints all immediate;
  if jsonb_path_exists(p_outcomes, '$[*] ? (@.type() != "object")') then
    perform process_jobs.check_outcomes(p_outcomes);
  end if;
  if jsonb_path_exists(p_outcomes, '$[*].usage') then
    perform process_jobs.record_usage(p_outcomes);
  end if;

  with settled as (
    update public.job_queue j
    set status = case
        when o.is_snoozed or o.may_retry and j.attempt_number < j.max_attempts then v_pending
        when o.outcome = 'cancelled' or j.cancel_requested_at is not null then v_cancelled
        when o.is_failed then v_failed
        else v_completed
      end,
      attempt_number = case when o.is_snoozed then greatest(0, j.attempt_number - 1) else j.attempt_number end,
      scheduled_at = case
        when o.is_snoozed and j.woken_at is null then now() + make_interval(secs => o.delay_seconds)
        when o.is_snoozed then now()
        when o.may_retry and j.attempt_number < j.max_attempts then now() + process_jobs.backoff(j.job_type, j.attempt_number)
        else j.scheduled_at
      end,
      checkpoint = case when o.is_snoozed then coalesce(o.checkpoint, j.checkpoint) else j.checkpoint end,
      progress = case
        when o.is_completed and j.cancel_requested_at is null then 100
        when o.is_snoozed then coalesce(o.progress, j.progress)
        else j.progress
      end,
      started_at = case
        when not o.is_snoozed or coalesce(o.checkpoint, j.checkpoint) is not null then j.started_at
      end,
      result = case
        when o.is_completed and j.cancel_requested_at is null then o.result
        when o.is_failed and not (o.may_retry and j.attempt_number < j.max_attempts) and j.cancel_requested_at is null
          then o.unrecorded -> 'result'
        else j.result
      end,
      follow_ups = case
        when o.is_failed and not (o.may_retry and j.attempt_number < j.max_attempts) and j.cancel_requested_at is null
          and o.unrecorded is not null then coalesce(o.unrecorded -> 'follow_ups', '[]')
      end,
      error_message = case
        when o.is_completed then null
        when o.is_failed then left(o.error, 2000)
        else j.error_message
      end,
      errors = case
        when o.is_failed then j.errors || jsonb_build_object(
          'attempt', j.attempt_number, 'at', now(), 'kind', left(coalesce(o.error_kind, 'error'), 100),
          'message', left(o.error, 2000))
        else j.errors
      end,
      event = case
        when o.is_snoozed or o.may_retry and j.attempt_number < j.max_attempts then j.event
      end,
      completed_at = case
        when o.is_snoozed or o.may_retry and j.attempt_number < j.max_attempts then null
        else now()
      end,
      lease_token = null, lease_expires_at = null, updated_at = now(),
      -- A job put back by hand has a place, which keep_places changes; one with a notify_url notifies there, unless it
      -- hands that on.
      moves = j.moves + case
        when j.status = 'processing' and (
          j.notify_url is null or o.is_completed and o.follow_ups <> '[]' and j.cancel_requested_at is null) then 1
        else 0
      end
    from (
      select o.*, o.outcome = 'completed' as is_completed, o.outcome = 'failed' as is_failed, o.outcome = 'snoozed' as is_snoozed,
        o.outcome = 'failed' and o.retry is distinct from 'never' as may_retry
      from rows from (
        jsonb_to_recordset(p_outcomes) as (
          outcome text, job_id uuid, lease_token uuid, result jsonb, follow_ups jsonb, error text, error_kind text,
          retry text, delay_seconds double precision, checkpoint jsonb, progress int, hold_job_type boolean,
          pause_reason text, unrecorded jsonb)
      ) with ordinality o
      -- What check_outcomes does not refuse.
      where (o.follow_ups is null or jsonb_typeof(o.follow_ups) = 'array')
        and (o.retry is null or o.retry in ('backoff', 'never'))
        and (o.progress is null or o.progress between 0 and 100)
        and case o.outcome
          when 'failed' then o.error <> ''
          when 'snoozed' then o.delay_seconds between 0 and 2592000 and process_jobs.json_refusal('p_checkpoint', o.checkpoint) is null
          else o.outcome in ('completed', 'cancelled')
        end
      order by o.job_id
    ) o
    -- (Not =, which would let a planner that takes the table for empty go through all of it, in the order of its key.)
    where j.id = any (array[o.job_id]) and j.lease_token = o.lease_token and j.status in ('processing', 'pending')
    returning case when j.lease_token is null then o.ordinality end as ordinality,
      case when j.status in ('pending', 'failed') or j.unique_key is not null then j.id end as moved,
      case when j.status = 'completed' and o.follow_ups <> '[]' then jsonb_build_object(
          'follow_ups', o.follow_ups, 'priority', j.priority, 'created_by', j.created_by,
          'notify_url', j.notify_url, 'notify_user', j.notify_user)
        when o.is_snoozed and (o.hold_job_type or o.pause_reason is not null) then jsonb_build_object(
          'job_type', j.job_type, 'begun', j.checkpoint is not null, 'pause_reason', o.pause_reason,
          'held_seconds', case when o.hold_job_type then o.delay_seconds end)
      end as rest
  )
  select array_agg(s.ordinality), array_agg(s.moved) filter (where s.moved is not null),
    jsonb_agg(s.rest) filter (where s.rest is not null)
  into v_numbers, v_moved, v_rest
  from settled s;

  if array_position(v_numbers, null) is not null then
    raise exception 'a trigger of job_queue lets its row be as it is' using errcode = 'P0001';
  end if;
  if v_moved is not null then
    perform process_jobs.place_jobs(v_moved);
  end if;
  if v_rest is not null then
    perform process_jobs.enqueue_follow_ups(
      r.follow_ups, r.priority, r.created_by, r.notify_url, r.notify_user)
    from jsonb_to_recordset(v_rest) r (
      follow_ups jsonb, priority int, created_by text, notify_url text, notify_user text)
    where r.follow_ups is not null;
    for v_wait in
      select r.job_type, r.begun, r.held_seconds, r.pause_reason
      from jsonb_to_recordset(v_rest) r (job_type text, begun boolean, held_seconds double precision, pause_reason text)
      where r.job_type is not null
      order by r.job_type
    loop
      update public.job_types t
      set held_until = case
          when v_wait.begun then t.held_until
          else greatest(t.held_until, now() + make_interval(secs => v_wait.held_seconds))
        end,
        begun_held_until = case
          when v_wait.begun then greatest(t.begun_held_until, now() + make_interval(secs => v_wait.held_seconds))
          else t.begun_held_until
        end
      where t.job_type = v_wait.job_type and v_wait.held_seconds is not null;
      if v_wait.pause_reason is not null then
        perform public.pause_job_type(v_wait.job_type, v_wait.pause_reason);
      end if;
    end loop;
  end if;

  if cardinality(v_numbers) = v_count then
    return array_fill(true, array[v_count]);
  end if;
  perform process_jobs.check_outcomes(p_outcomes);
  return array(select n = any (v_numbers) is true from generate_series(1, v_count) n order by n);
end
$$;
