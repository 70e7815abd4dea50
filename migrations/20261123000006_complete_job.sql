-- complete_job: settles a claimed job for good or for another attempt; true: recorded, false: the job
-- is not the caller's any more, already final, or not there, and nothing was changed.
--
-- no p_error                                   -> completed with p_result, p_follow_ups enqueued with it
-- p_error, p_retry 'backoff', attempts left    -> pending after the type's backoff, one entry more in errors
-- p_error, p_retry 'never' or attempts spent   -> failed, one entry more in errors
--
-- Where cancel_job has been called meanwhile, both ends are `cancelled` instead, without result and
-- follow-ups. What ends keeps neither its event nor its lease.
--
-- p_lease_token  the claim's; fits while nobody else has claimed the job, also after an operator has
--                put it back to pending by hand. null, as before leases: any job that is processing
-- p_error_kind   a word for the entry in errors, default 'error'
-- p_follow_ups   [{job_type, payload, priority?, max_attempts?, scheduled_at?, unique_key?}]
--
-- p_error and its entry in errors are cut to 2000 characters. Refuses (22023) an unknown p_retry, an
-- empty p_error, p_error together with p_result or follow-ups, and follow-ups that enqueue_job would refuse.
drop function if exists public.complete_job(uuid, jsonb, text); -- the first version's; two would be ambiguous

create or replace function public.complete_job(
  p_job_id uuid,
  p_result jsonb default null,
  p_error text default null,
  p_lease_token uuid default null,
  p_retry text default 'backoff',
  p_error_kind text default null,
  p_follow_ups jsonb default '[]'
) returns boolean
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_job public.job_queue;
  v_follow_ups jsonb := coalesce(p_follow_ups, '[]');
  v_message text := left(p_error, 2000);
  v_cancelled boolean;
  v_again boolean;
  v_backoff_seconds double precision;
begin
  if p_retry is null or p_retry not in ('backoff', 'never') then
    raise exception 'p_retry must be ''backoff'' or ''never'', not %', coalesce(quote_literal(p_retry), 'null')
      using errcode = '22023';
  end if;
  if p_error = '' then
    raise exception 'p_error must not be empty' using errcode = '22023';
  end if;
  if jsonb_typeof(v_follow_ups) <> 'array' then
    raise exception 'p_follow_ups must be a json array, not %', jsonb_typeof(v_follow_ups) using errcode = '22023';
  end if;
  if p_error is not null and (p_result is not null or v_follow_ups <> '[]') then
    raise exception 'p_error goes with neither p_result nor p_follow_ups' using errcode = '22023';
  end if;

  select j.* into v_job
  from public.job_queue j
  where j.id = p_job_id
    and case
      when p_lease_token is null then j.status = 'processing'
      else j.lease_token = p_lease_token and j.status in ('processing', 'pending')
    end
  for update;
  if not found then
    return false;
  end if;
  v_cancelled := v_job.cancel_requested_at is not null;

  if p_error is null then
    update public.job_queue j
    set status = case when v_cancelled then 'cancelled' else 'completed' end,
      result = case when v_cancelled then null else p_result end,
      error_message = null, progress = case when v_cancelled then j.progress else 100 end, event = null,
      lease_token = null, lease_expires_at = null, completed_at = now(), updated_at = now()
    where j.id = p_job_id;
    if not v_cancelled then
      perform public.enqueue_follow_ups(v_follow_ups);
    end if;
    return true;
  end if;

  v_again := p_retry = 'backoff' and v_job.attempt_number < v_job.max_attempts;
  if v_again then
    select least(t.backoff_max_seconds, t.backoff_base_seconds * power(2, greatest(0, v_job.attempt_number - 1)))
      * (0.75 + 0.5 * random())
    into v_backoff_seconds
    from public.job_types t
    where t.job_type = v_job.job_type;
  end if;
  update public.job_queue j
  set status = case when v_again then 'pending' when v_cancelled then 'cancelled' else 'failed' end,
    scheduled_at = case when v_again then now() + make_interval(secs => coalesce(v_backoff_seconds, 0)) else j.scheduled_at end,
    errors = j.errors || jsonb_build_object(
      'attempt', j.attempt_number, 'at', now(), 'kind', left(coalesce(p_error_kind, 'error'), 100), 'message', v_message),
    error_message = v_message,
    event = case when v_again then j.event end,
    lease_token = null, lease_expires_at = null,
    completed_at = case when v_again then null else now() end,
    updated_at = now()
  where j.id = p_job_id;
  return true;
end
$$;

revoke execute on function public.complete_job(uuid, jsonb, text, uuid, text, text, jsonb) from public, anon, authenticated;
grant execute on function public.complete_job(uuid, jsonb, text, uuid, text, text, jsonb) to service_role;
