-- check_job: refuses (23514) a row of job_queue that no claim could reckon with; for keep_places and
-- place_inserted. Returns true. What the queue's own functions write is in order.
create or replace function process_jobs.check_job(p_job public.job_queue) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_refusal text := case
    when p_job.status not in ('pending', 'processing', 'completed', 'failed', 'cancelled') then 'status_is_known'
    when p_job.status = 'processing' and (p_job.lease_token is null or p_job.lease_expires_at is null) then 'processing_has_lease'
    when p_job.attempt_number not between 0 and p_job.max_attempts or p_job.max_attempts < 1 then 'attempts_within_max'
    when p_job.progress not between 0 and 100 then 'progress_is_percent'
    when jsonb_typeof(p_job.errors) <> 'array' then 'errors_is_array'
    when not isfinite(p_job.scheduled_at) then 'scheduled_at_finite'
    when not isfinite(p_job.created_at) or not isfinite(p_job.started_at) or not isfinite(p_job.first_started_at)
      or not isfinite(p_job.lease_expires_at) then 'times_are_finite'
    when length(p_job.unique_key) not between 1 and 200 then 'unique_key_length'
  end;
begin
  if v_refusal is not null then
    v_refusal := 'job_queue_' || v_refusal;
    raise exception 'new row for relation "job_queue" violates check constraint "%"', v_refusal
      using errcode = '23514', table = 'job_queue', constraint = v_refusal;
  end if;
  return true;
end
$$;
