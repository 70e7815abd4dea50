-- settle_job: records one outcome of a run; for exchange_jobs only.
--
-- p_outcome  {"outcome": "completed", "result", "follow_ups"}, {"outcome": "failed", "error", "error_kind", "retry"},
--            {"outcome": "snoozed", "delay_seconds", "checkpoint", "progress", "hold_job_type", "pause_reason"} or
--            {"outcome": "cancelled"}, each with "job_id" and "lease_token": the arguments of complete_job, snooze_job
--            and cancel_job, which answer and refuse
create or replace function public.settle_job(p_outcome jsonb) returns boolean
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_job_id uuid := p_outcome ->> 'job_id';
  v_lease_token uuid := p_outcome ->> 'lease_token';
begin
  if v_job_id is null or v_lease_token is null then
    raise exception 'p_outcomes: job_id and lease_token must not be null' using errcode = '22023';
  end if;
  case p_outcome ->> 'outcome'
    when 'completed' then
      return public.complete_job(
        v_job_id, p_outcome -> 'result', p_lease_token => v_lease_token,
        p_follow_ups => coalesce(p_outcome -> 'follow_ups', '[]'));
    when 'failed' then
      return public.complete_job(
        v_job_id, p_error => coalesce(p_outcome ->> 'error', ''), p_lease_token => v_lease_token,
        p_retry => coalesce(p_outcome ->> 'retry', 'backoff'), p_error_kind => p_outcome ->> 'error_kind');
    when 'snoozed' then
      return public.snooze_job(
        v_job_id, v_lease_token, (p_outcome ->> 'delay_seconds')::double precision,
        nullif(p_outcome -> 'checkpoint', 'null'), (p_outcome ->> 'progress')::int,
        coalesce((p_outcome ->> 'hold_job_type')::boolean, false), p_outcome ->> 'pause_reason');
    when 'cancelled' then
      return public.cancel_job(v_job_id, v_lease_token);
    else
      raise exception 'p_outcomes: outcome must be completed, failed, snoozed or cancelled, not %',
        coalesce(quote_literal(p_outcome ->> 'outcome'), 'null') using errcode = '22023';
  end case;
end
$$;

revoke execute on function public.settle_job(jsonb) from public, anon, authenticated, service_role;
