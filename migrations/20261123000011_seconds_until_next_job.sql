-- seconds_until_next_job: how long until claim_next_job has something to do; 0: now, null: nothing is
-- pending that may run.
--
-- Looks at the types asked for (null: all in job_types): at what claim_next_job would take of them, those of
-- a held type from held_until on, those that wait for a start from when there is one. An expired lease counts
-- as now whatever its type, because every claim takes it back. Reads two index entries a type.
create or replace function public.seconds_until_next_job(p_job_types text[] default null) returns double precision
language sql
stable
security definer
set search_path = ''
as $$
  -- greatest ignores nulls: without the case an empty queue would answer 0.
  select case when min(due.at) is not null then greatest(0, extract(epoch from min(due.at) - now())) end::double precision
  from (
    select greatest(
        next.scheduled_at, t.held_until,
        case
          when not next.begun
          then now() + make_interval(secs => (1 - public.available_starts(t)) / t.starts_per_minute * 60)
        end) as at
    from public.job_types t
    cross join (values (true), (false)) kind (begun)
    cross join lateral (
      select j.scheduled_at, j.begun
      from public.job_queue j
      where j.job_type = t.job_type and j.begun = kind.begun and j.status = 'pending'
      order by j.scheduled_at
      limit 1
    ) next
    where (t.paused_at is null or next.begun) and (p_job_types is null or t.job_type = any (p_job_types))
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
