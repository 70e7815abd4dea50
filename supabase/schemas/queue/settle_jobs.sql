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
-- Of two outcomes with the same token the first counts. Refuses (22023) all outcomes if one is out of the bounds of
-- those functions' arguments. Locks jobs in the order of their ids, then generations, then types.
create or replace function process_jobs.settle_jobs(p_outcomes jsonb) returns boolean[]
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- One plan, which finds each job by its id, whatever the statistics say: they may be from when the queue was empty.
-- Ids and outcomes are sorted, so jobs are locked in that order. (Hashed, or each outcome would look at each job.)
set enable_seqscan = off
set enable_hashjoin = on
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  -- Of the column's type, which may be an app's own.
  v_pending constant public.job_queue.status%type := 'pending';
  v_completed constant public.job_queue.status%type := 'completed';
  v_failed constant public.job_queue.status%type := 'failed';
  v_cancelled constant public.job_queue.status%type := 'cancelled';
  v_places bigint[];
  v_refusal text;
  v_moved uuid[];
  v_rest jsonb;
  v_wait record;
  v_place bigint;
  v_recorded boolean[];
begin
  if p_outcomes = '[]' then
    return '{}';
  end if;
  -- As in claim_jobs.
  set constraints all immediate;
  if jsonb_path_exists(p_outcomes, '$[*] ? (@.type() != "object")') then
    raise exception 'p_outcomes must hold json objects' using errcode = '22023';
  end if;

  with outcome as materialized (
    select o.*,
      row_number() over (partition by o.job_id, o.lease_token order by o.ordinality) = 1 as counts,
      case
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
        when o.outcome = 'snoozed' and pg_column_size(o.checkpoint) > 100 then
          process_jobs.json_refusal('p_checkpoint', o.checkpoint)
        when o.progress not between 0 and 100 then
          format('p_progress must be between 0 and 100, not %s', o.progress)
      end as refusal
    from rows from (
      jsonb_to_recordset(p_outcomes) as (
        outcome text, job_id uuid, lease_token uuid, result jsonb, follow_ups jsonb, error text, error_kind text,
        retry text, delay_seconds double precision, checkpoint jsonb, progress int, hold_job_type boolean,
        pause_reason text, unrecorded jsonb)
    ) with ordinality o
  ), settled as (
    update public.job_queue j
    set (
        status, attempt_number, scheduled_at, woken_at, checkpoint, progress, started_at, result, follow_ups,
        error_message, errors, event, completed_at
      ) = (
        select s.status,
          case when o.outcome = 'snoozed' then greatest(0, j.attempt_number - 1) else j.attempt_number end,
          case
            when s.status <> 'pending' then j.scheduled_at
            when o.outcome = 'failed' then now() + coalesce((
              select make_interval(secs => (0.75 + 0.5 * random()) *
                least(t.backoff_max_seconds, t.backoff_base_seconds * power(2, least(greatest(0, j.attempt_number - 1), 60))))
              from public.job_types t
              where t.job_type = j.job_type), '0')
            when j.woken_at is null then now() + make_interval(secs => o.delay_seconds)
            else now()
          end,
          j.woken_at,
          case when o.outcome = 'snoozed' then coalesce(o.checkpoint, j.checkpoint) else j.checkpoint end,
          case
            when s.status = 'completed' then 100
            when o.outcome = 'snoozed' then coalesce(o.progress, j.progress)
            else j.progress
          end,
          case
            when o.outcome <> 'snoozed' or coalesce(o.checkpoint, j.checkpoint) is not null then j.started_at
          end,
          case
            when s.status = 'completed' then o.result
            when s.status = 'failed' then o.unrecorded -> 'result'
            else j.result
          end,
          case when s.status = 'failed' and o.unrecorded is not null then coalesce(o.unrecorded -> 'follow_ups', '[]') end,
          case o.outcome
            when 'completed' then null
            when 'failed' then left(o.error, 2000)
            else j.error_message
          end,
          case
            when o.outcome = 'failed' then j.errors || jsonb_build_object(
              'attempt', j.attempt_number, 'at', now(), 'kind', left(coalesce(o.error_kind, 'error'), 100),
              'message', left(o.error, 2000))
            else j.errors
          end,
          case when s.status = 'pending' then j.event end,
          case when s.status <> 'pending' then now() end
        from (
          select case
            when o.outcome = 'snoozed' then v_pending
            when o.outcome = 'failed' and o.retry is distinct from 'never' and j.attempt_number < j.max_attempts
              then v_pending
            when o.outcome = 'cancelled' or j.cancel_requested_at is not null then v_cancelled
            when o.outcome = 'failed' then v_failed
            else v_completed
          end
        ) s (status)
      ),
      lease_token = null, lease_expires_at = null, updated_at = now(),
      -- A job put back by hand has a place, which keep_places changes.
      revision = j.revision + case when j.status = 'processing' then 1 else 0 end
    from outcome o
    -- The first condition says it twice, so that no planner that takes the table for empty goes through all of it.
    where j.id = any (array(select known.job_id from outcome known)) and j.id = o.job_id and j.lease_token = o.lease_token
      and j.status in ('processing', 'pending') and o.counts
      and not exists (select from outcome where refusal is not null)
    returning o.ordinality, j.job_type, j.priority, j.created_by, j.checkpoint is not null as begun,
      case when j.status in ('pending', 'failed') or j.unique_key is not null then j.id end as moved,
      case when j.status = 'completed' and o.follow_ups <> '[]' then o.follow_ups end as follow_ups,
      case when o.outcome = 'snoozed' and o.hold_job_type then o.delay_seconds end as held_seconds,
      case when o.outcome = 'snoozed' then o.pause_reason end as pause_reason
  )
  select array_agg(s.ordinality), (select min(o.refusal) from outcome o),
    array_agg(s.moved) filter (where s.moved is not null),
    jsonb_agg(to_jsonb(s)) filter (where num_nonnulls(s.follow_ups, s.held_seconds, s.pause_reason) > 0)
  into v_places, v_refusal, v_moved, v_rest
  from settled s;
  if v_refusal is not null then
    raise exception '%', v_refusal using errcode = '22023';
  end if;

  if v_moved is not null then
    perform process_jobs.place_jobs(v_moved);
  end if;
  if v_rest is not null then
    perform process_jobs.enqueue_follow_ups(r.follow_ups, r.priority, r.created_by)
    from jsonb_to_recordset(v_rest) r (follow_ups jsonb, priority int, created_by text)
    where r.follow_ups is not null;
    for v_wait in
      select r.job_type, r.begun, r.held_seconds, r.pause_reason
      from jsonb_to_recordset(v_rest) r (job_type text, begun boolean, held_seconds double precision, pause_reason text)
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

  v_recorded := array_fill(false, array[jsonb_array_length(p_outcomes)]);
  foreach v_place in array coalesce(v_places, '{}') loop
    v_recorded[v_place] := true;
  end loop;
  return v_recorded;
end
$$;
