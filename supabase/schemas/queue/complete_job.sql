-- complete_job: settles a claimed job for good or for another attempt; true: recorded, false: the job is not the
-- caller's any more, is final already, or does not exist, and nothing changed.
--
-- no p_error                                   -> completed with p_result, p_follow_ups enqueued with it
-- p_error, p_retry 'backoff', attempts left    -> pending after the type's backoff, one entry more in errors
-- p_error, p_retry 'never' or attempts spent   -> failed, one entry more in errors
--
-- If cancel_job was called meanwhile, both ends are `cancelled` instead, without result and follow-ups. A job that ends
-- keeps neither its event nor its lease.
--
-- p_lease_token  the claim's; valid while nobody else has claimed the job, also after an operator has put it back to
--                pending by hand. null, as before leases: any job that is processing, or that a called function has
--                answered with 202 (its attempt ends here)
-- p_error_kind   a word for the entry in errors, default 'error'
-- p_follow_ups   [{job_type, payload, priority?, max_attempts?, scheduled_at?, unique_key?}]
-- p_usage        [{id, status, model?, predict_seconds?, images?}] for usage_ledger, recorded whatever the answer is
--
-- p_error and its entry in errors are cut to 2000 characters. Refuses (22023) an unknown p_retry, an
-- empty p_error, p_error together with p_result or follow-ups, and follow-ups that enqueue_job would refuse.

create or replace function public.complete_job(
  p_job_id uuid,
  p_result jsonb default null,
  p_error text default null,
  p_lease_token uuid default null,
  p_retry text default 'backoff',
  p_error_kind text default null,
  p_follow_ups jsonb default '[]',
  p_usage jsonb default null
) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs, for the row that it locks itself.
set lock_timeout = '300ms'
-- Look up by key, whatever the statistics say: they may be from when the table was empty. (No = beside the id, which
-- would let a planner use a partial index.)
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_lease_token uuid := p_lease_token;
begin
  if p_retry is null then
    raise exception 'p_retry must be ''backoff'' or ''never'', not null' using errcode = '22023';
  end if;
  if p_error is not null and (p_result is not null or p_follow_ups <> '[]') then
    raise exception 'p_error goes with neither p_result nor p_follow_ups' using errcode = '22023';
  end if;
  if p_job_id is null then
    return false;
  end if;
  if v_lease_token is null then
    select j.lease_token into v_lease_token
    from public.job_queue j
    where j.id = p_job_id and j.status is not distinct from 'processing'
    for update;
    if v_lease_token is null then
      v_lease_token := gen_random_uuid(); -- of no claim
      update public.job_queue j
      set lease_token = v_lease_token, attempt_number = least(j.attempt_number + 1, j.max_attempts)
      where j.id = p_job_id and j.status is not distinct from 'pending' and j.checkpoint is not null
        and exists (select from public.job_types t where t.job_type = j.job_type and t.call_function is not null);
    end if;
  end if;
  return process_jobs.settle_one(jsonb_build_object(
    'outcome', case when p_error is null then 'completed' else 'failed' end,
    'job_id', p_job_id, 'lease_token', v_lease_token, 'result', p_result, 'follow_ups', p_follow_ups,
    'error', p_error, 'error_kind', p_error_kind, 'retry', p_retry)
    || case when p_usage is null then '{}' else jsonb_build_object('usage', p_usage) end);
end
$$;

revoke execute on function public.complete_job(uuid, jsonb, text, uuid, text, text, jsonb, jsonb) from public, anon, authenticated;
grant execute on function public.complete_job(uuid, jsonb, text, uuid, text, text, jsonb, jsonb) to service_role;
