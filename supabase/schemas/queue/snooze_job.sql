-- snooze_job: parks a claimed job and gives its attempt back; true: recorded, false: the job is not the caller's any
-- more, is final already, or does not exist.
--
-- processing (or put back by hand, still with this token) -> pending, due in p_delay_seconds, attempt_number - 1;
-- due now if wake_job or cancel_job came after the claim, because the run has not seen that yet
--
-- p_delay_seconds  0 to 2592000 (30 days)
-- p_checkpoint     the state for the next run; null keeps the stored one
-- p_progress       0 to 100; null keeps the stored one
-- p_hold_job_type  true: no job of this type begins for p_delay_seconds, or, if this one has begun, no job of this type
--                  that has begun continues (a longer hold stays)
-- p_pause_reason   not null: no job of this type begins until resume_job_type
-- p_usage          as for complete_job
--
-- A job that waits without a checkpoint has not begun: started_at becomes null, so that the wait does not count toward
-- its age. Refuses (22023) arguments out of these bounds.
create or replace function public.snooze_job(
  p_job_id uuid,
  p_lease_token uuid,
  p_delay_seconds double precision,
  p_checkpoint jsonb default null,
  p_progress int default null,
  p_hold_job_type boolean default false,
  p_pause_reason text default null,
  p_usage jsonb default null
) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_job_id is null or p_lease_token is null then
    return false;
  end if;
  return process_jobs.settle_one(jsonb_build_object(
    'outcome', 'snoozed', 'job_id', p_job_id, 'lease_token', p_lease_token, 'delay_seconds', p_delay_seconds,
    'checkpoint', p_checkpoint, 'progress', p_progress, 'hold_job_type', p_hold_job_type,
    'pause_reason', p_pause_reason)
    || case when p_usage is null then '{}' else jsonb_build_object('usage', p_usage) end);
end
$$;

revoke execute on function public.snooze_job(uuid, uuid, double precision, jsonb, int, boolean, text, jsonb) from public, anon, authenticated;
grant execute on function public.snooze_job(uuid, uuid, double precision, jsonb, int, boolean, text, jsonb) to service_role;
