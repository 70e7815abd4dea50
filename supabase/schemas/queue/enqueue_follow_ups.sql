-- enqueue_follow_ups: enqueues a completed job's follow-ups through insert_job, with the same created_by and notify_url;
-- only for settle_jobs and retry_job.
--
-- p_follow_ups is a json array of {job_type, payload, priority?, max_attempts?, scheduled_at?, unique_key?,
-- waiting_since?}. A follow-up has at least its parent's priority. waiting_since decides its place among jobs of equal
-- priority: the work that it continues has waited since then. A value that is not a time, or is in the future, is
-- ignored.
--
-- Refuses (22023) an element that is not an object or has another key, and whatever enqueue_job refuses.

create or replace function process_jobs.enqueue_follow_ups(
  p_follow_ups jsonb,
  p_priority int,
  p_created_by text,
  p_notify_url text,
  p_notify_user text
) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_follow_up jsonb;
  v_unknown_key text;
  v_scheduled_at timestamptz;
begin
  perform set_config('process_jobs.hands_on', 'on', true) where p_notify_url is not null;
  for v_follow_up in select f.value from jsonb_array_elements(p_follow_ups) f loop
    if jsonb_typeof(v_follow_up) <> 'object' then
      raise exception 'p_follow_ups must hold json objects, not %', jsonb_typeof(v_follow_up) using errcode = '22023';
    end if;
    select k into v_unknown_key
    from jsonb_object_keys(v_follow_up) k
    where k not in (
      'job_type', 'payload', 'priority', 'max_attempts', 'scheduled_at', 'unique_key', 'waiting_since')
    limit 1;
    if found then
      raise exception 'p_follow_ups has an unknown key "%"', left(v_unknown_key, 200) using errcode = '22023';
    end if;
    v_scheduled_at := (v_follow_up ->> 'scheduled_at')::timestamptz;
    if v_scheduled_at is null and v_follow_up ->> 'waiting_since' is not null then
      v_scheduled_at := process_jobs.time_or_null(v_follow_up ->> 'waiting_since');
      if v_scheduled_at > now() or not isfinite(v_scheduled_at) then
        v_scheduled_at := null;
      end if;
    end if;
    perform process_jobs.insert_job(
      v_follow_up ->> 'job_type',
      v_follow_up -> 'payload',
      greatest(coalesce((v_follow_up ->> 'priority')::int, 0), p_priority),
      (v_follow_up ->> 'max_attempts')::int,
      v_scheduled_at,
      v_follow_up ->> 'unique_key',
      p_created_by,
      p_notify_url,
      p_notify_user
    );
  end loop;
  perform set_config('process_jobs.hands_on', '', true) where p_notify_url is not null;
end
$$;
