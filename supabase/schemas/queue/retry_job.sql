-- retry_job: gives a failed or cancelled job a new life; true: pending now, or completed, false: it is neither failed
-- nor cancelled, or does not exist.
--
-- failed, cancelled     -> pending, due now, with p_attempts more and a new age
-- failed, its completion having been refused -> completed, with the result and the follow-ups of that completion: its
--                                               work is done. It may be refused again; then the job stays failed. With
--                                               follow_ups set to null it becomes pending instead
--
-- Checkpoint, event, result and error_message are cleared, so that the next run begins anew, and life goes up, so that
-- late events of an earlier life are ignored. errors stay, and attempt_number goes on counting: for a worker this is
-- not a first attempt, so it looks for the traces of earlier lives outside before it begins. Refuses (22023) p_attempts
-- outside 1 to 100; (23505) a job whose unique_key another unfinished one has.
create or replace function public.retry_job(p_job_id uuid, p_attempts int default 3) returns boolean
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_job public.job_queue;
begin
  if p_attempts is null or p_attempts not between 1 and 100 then
    raise exception 'p_attempts must be between 1 and 100, not %', coalesce(p_attempts::text, 'null') using errcode = '22023';
  end if;

  update public.job_queue j
  set status = 'completed', error_message = null, progress = 100, completed_at = now(), updated_at = now()
  where j.id = p_job_id and j.status is not distinct from 'failed' and j.follow_ups is not null
  returning j.* into v_job;
  if found then
    perform process_jobs.enqueue_follow_ups(
      v_job.follow_ups, v_job.priority, v_job.created_by::text, v_job.notify_url, v_job.notify_user);
    return true;
  end if;

  update public.job_queue j
  set status = 'pending', scheduled_at = now(), life = j.life + 1,
    attempt_number = case when j.first_started_at is null then j.attempt_number else greatest(1, j.attempt_number) end,
    max_attempts = least(greatest(1, j.attempt_number), 2147483647 - p_attempts) + p_attempts,
    checkpoint = null, event = null, woken_at = null, cancel_requested_at = null, progress = null,
    result = null, follow_ups = null, error_message = null, started_at = null, completed_at = null, updated_at = now()
  where j.id = p_job_id and j.status in ('failed', 'cancelled');
  return found;
exception
  when unique_violation then
    raise exception 'job % cannot be retried: an unfinished job has the same unique_key', p_job_id
      using errcode = '23505';
end
$$;

revoke execute on function public.retry_job(uuid, int) from public, anon, authenticated;
grant execute on function public.retry_job(uuid, int) to service_role;
