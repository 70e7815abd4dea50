-- snooze_job: puts a claimed job back for later and gives its attempt back; true: recorded, false: the
-- job is not the caller's any more, already final, or not there.
--
-- processing (or put back by hand, still with this token) -> pending, due in p_delay_seconds, attempt_number - 1;
-- due now where wake_job or cancel_job came after the claim, for the run has not seen that yet
--
-- p_delay_seconds  0 to 2592000 (30 days)
-- p_checkpoint     what the next run must know; null keeps the stored one
-- p_progress       0 to 100; null keeps the stored one
-- p_hold_job_type  true: no job of this type is claimed for p_delay_seconds (a longer hold stays)
-- p_pause_reason   not null: no job of this type begins until resume_job_type
--
-- A job that waits without a checkpoint has not begun: started_at becomes null, so that the wait does not count as
-- its age. Refuses (22023) arguments out of these bounds.
create or replace function public.snooze_job(
  p_job_id uuid,
  p_lease_token uuid,
  p_delay_seconds double precision,
  p_checkpoint jsonb default null,
  p_progress int default null,
  p_hold_job_type boolean default false,
  p_pause_reason text default null
) returns boolean
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_job_type text;
  v_due timestamptz;
begin
  -- NaN counts as greater than every number.
  if p_delay_seconds is null or p_delay_seconds not between 0 and 2592000 then
    raise exception 'p_delay_seconds must be between 0 and 2592000, not %', p_delay_seconds using errcode = '22023';
  end if;
  if p_progress not between 0 and 100 then
    raise exception 'p_progress must be between 0 and 100, not %', p_progress using errcode = '22023';
  end if;
  v_due := now() + make_interval(secs => p_delay_seconds);

  update public.job_queue j
  set status = 'pending',
    attempt_number = greatest(0, j.attempt_number - 1),
    scheduled_at = case when j.woken_at is null then v_due else now() end,
    woken_at = null,
    checkpoint = coalesce(p_checkpoint, j.checkpoint),
    progress = coalesce(p_progress, j.progress),
    started_at = case when coalesce(p_checkpoint, j.checkpoint) is not null then j.started_at end,
    lease_token = null, lease_expires_at = null, updated_at = now()
  where j.id = p_job_id and j.lease_token = p_lease_token and j.status in ('processing', 'pending')
  returning j.job_type into v_job_type;
  if not found then
    return false;
  end if;

  if p_hold_job_type then
    update public.job_types t
    set held_until = v_due
    where t.job_type = v_job_type and (t.held_until is null or t.held_until < v_due);
  end if;
  if p_pause_reason is not null then
    perform public.pause_job_type(v_job_type, p_pause_reason);
  end if;
  return true;
end
$$;

revoke execute on function public.snooze_job(uuid, uuid, double precision, jsonb, int, boolean, text) from public, anon, authenticated;
grant execute on function public.snooze_job(uuid, uuid, double precision, jsonb, int, boolean, text) to service_role;
