-- seconds_until_next_job: the time until claim_next_job has something to do; 0: now, null: no pending job may run.
--
-- Considers the types asked for (null: all in job_types) and the jobs that claim_next_job would take of them: held ones
-- when the hold ends, those that wait for a start when there is one. An expired lease counts as now whatever its type,
-- because every claim takes it back. Troubles of kind claim, effect and cancel count from their retry_at. (Jobs with a
-- created_at in the future are unknown before that time.) Reads five index entries per type.
create or replace function public.seconds_until_next_job(p_job_types text[] default null) returns double precision
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
-- As in claim_next_job.
set enable_seqscan = off
set enable_sort = off
set enable_bitmapscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  if exists (
    select from public.job_queue j
    where j.status = 'processing' and j.lease_expires_at <= now()
      and not exists (select from process_jobs.job_troubles b where b.job_id = j.id and b.kind = 'claim' and b.retry_at > now())
  ) then
    return 0;
  end if;
  return (select greatest(0, extract(epoch from next.at - now())) from (select least(
    (
      select min(greatest(
        next.due_at,
        case when kind.begun and not next.woken then t.begun_held_until when not kind.begun then t.held_until end,
        case
          when not kind.begun
          then now() + make_interval(secs => (1 - process_jobs.available_starts(t)) / t.starts_per_minute * 60)
        end))
      from public.job_types t
      cross join (values (true), (false)) kind (begun)
      cross join lateral (
        (
          select j.scheduled_at as due_at, false as woken
          from public.job_queue j
          where j.job_type = t.job_type and j.begun = kind.begun and not j.delayed and j.status = 'pending'
            and j.scheduled_at <= now()
            and not exists (
              select from process_jobs.job_troubles b where b.job_id = j.id and b.kind = 'claim' and b.retry_at > now())
          order by j.priority desc, j.created_at, j.id
          limit 1
        )
        union all
        (
          select j.scheduled_at, false
          from public.job_queue j
          where j.job_type = t.job_type and j.begun = kind.begun and j.delayed and j.status = 'pending'
            and not exists (
              select from process_jobs.job_troubles b where b.job_id = j.id and b.kind = 'claim' and b.retry_at > now())
          order by j.scheduled_at
          limit 1
        )
        union all
        (
          select j.scheduled_at, true
          from public.job_queue j
          where kind.begun and j.job_type = t.job_type and j.begun and j.woken_at is not null and j.status = 'pending'
            and not exists (
              select from process_jobs.job_troubles b where b.job_id = j.id and b.kind = 'claim' and b.retry_at > now())
          order by j.priority desc, j.created_at, j.id
          limit 1
        )
      ) next
      where (p_job_types is null or t.job_type = any (p_job_types)) and (t.paused_at is null or kind.begun)
    ),
    (select min(b.retry_at) from process_jobs.job_troubles b where b.kind in ('effect', 'cancel') or b.kind = 'claim' and b.retry_at > now())
  )) next (at) where next.at is not null);
end
$$;

revoke execute on function public.seconds_until_next_job(text[]) from public, anon, authenticated;
grant execute on function public.seconds_until_next_job(text[]) to service_role;
