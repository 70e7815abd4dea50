-- cancel_job: ends a job that is not wanted any more; true: cancelled or being cancelled, false: it is final already,
-- does not exist, or is not the caller's.
--
-- pending, never at work              -> cancelled
-- pending, parked or retrying         -> stays pending, due now (put back by hand: when its lease is over), with
--                                        cancel_requested_at: a worker ends what the job has begun, then the job
-- processing                          -> continues, with cancel_requested_at; its run's end is `cancelled`; if the run
--                                        parks the job, a worker ends what the job has begun
-- processing, with p_lease_token      -> cancelled: the worker reports that nothing runs outside
--
-- A job with a cancel request counts as begun, so that a pause of its type does not stop it. If a worker fails to end
-- it, it is retried as after any error; after the last attempt it is cancelled all the same.
--
-- p_usage, which goes with a p_lease_token, is as for complete_job.
create or replace function public.cancel_job(p_job_id uuid, p_lease_token uuid default null, p_usage jsonb default null) returns boolean
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty. (No = beside the id, which
-- would let a planner use a partial index.)
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  if p_lease_token is not null then
    return p_job_id is not null and process_jobs.settle_one(jsonb_build_object(
      'outcome', 'cancelled', 'job_id', p_job_id, 'lease_token', p_lease_token)
      || case when p_usage is null then '{}' else jsonb_build_object('usage', p_usage) end);
  end if;

  update public.job_queue j
  set status = 'cancelled', event = null, lease_token = null, lease_expires_at = null,
    completed_at = now(), updated_at = now()
  where j.id = p_job_id and j.status is not distinct from 'pending' and j.attempt_number = 0 and j.checkpoint is null;
  if found then
    return true;
  end if;

  update public.job_queue j
  set cancel_requested_at = coalesce(j.cancel_requested_at, now()),
    checkpoint = coalesce(j.checkpoint, '{}'),
    scheduled_at = case
      when j.status = 'pending' then least(j.scheduled_at, greatest(now(), j.lease_expires_at))
      else j.scheduled_at
    end,
    woken_at = now(), updated_at = now()
  where j.id = p_job_id and j.status in ('pending', 'processing');
  return found;
end
$$;

revoke execute on function public.cancel_job(uuid, uuid, jsonb) from public, anon, authenticated;
grant execute on function public.cancel_job(uuid, uuid, jsonb) to service_role;
