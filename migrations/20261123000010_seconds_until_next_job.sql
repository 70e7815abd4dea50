-- seconds_until_next_job: how long until claim_next_job has something to do; 0: now, null: nothing is
-- pending that may run.
--
-- Counts the pending jobs of the types asked for (null: all in job_types) that are not paused; those of
-- a held type from held_until on. An expired lease counts as now whatever its type, because every claim
-- takes it back. Reads one index entry a type.
create or replace function public.seconds_until_next_job(p_job_types text[] default null) returns double precision
language sql
stable
security definer
set search_path = ''
as $$
  -- greatest ignores nulls: without the case an empty queue would answer 0.
  select case when min(due.at) is not null then greatest(0, extract(epoch from min(due.at) - now())) end::double precision
  from (
    select greatest(next.scheduled_at, t.held_until) as at
    from public.job_types t
    cross join lateral (
      select j.scheduled_at
      from public.job_queue j
      where j.job_type = t.job_type and j.status = 'pending'
      order by j.scheduled_at
      limit 1
    ) next
    where t.paused_at is null and (p_job_types is null or t.job_type = any (p_job_types))
    union all
    (
      select j.lease_expires_at
      from public.job_queue j
      where j.status = 'processing' and j.lease_expires_at <= now()
      order by j.lease_expires_at
      limit 1
    )
  ) due
$$;

revoke execute on function public.seconds_until_next_job(text[]) from public, anon, authenticated;
grant execute on function public.seconds_until_next_job(text[]) to service_role;
