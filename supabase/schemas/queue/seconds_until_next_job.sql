-- seconds_until_next_job: the time until claim_next_job has something to do; 0: now, null: no pending job may run.
--
-- Considers the types asked for (null: all in job_types) and the jobs that claim_next_job would take of them: held ones
-- when the hold ends, those that wait for a start when there is one. An expired lease counts as now whatever its type,
-- because every claim takes it back. Troubles of kind claim, effect and cancel count from their retry_at. Half a second after
-- a ring there may be what was left to it (ring_at_commit). Reads six index entries per type.
create or replace function public.seconds_until_next_job(p_job_types text[] default null) returns double precision
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set enable_sort = off
set enable_incremental_sort = off
set enable_bitmapscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  if exists (select from process_jobs.lost_jobs) then
    return 0;
  end if;
  return (select greatest(0, extract(epoch from next.at - now())) from (select least(
    (
      select min(greatest(next.due_at, l.opens_at, now() + make_interval(secs => (1 - l.available_starts) / l.starts_per_minute * 60)))
      from process_jobs.lanes l
      cross join lateral (
        (
          select now() as due_at
          from process_jobs.ready_jobs r
          where r.job_type = l.job_type collate "C" and r.lane = l.lane
            and (r.rank, r.created_at, r.id) >= (l.from_rank, l.from_created_at, l.from_id)
            and not exists (
              select from process_jobs.job_troubles b where b.job_id = r.id and b.kind = 'claim' and b.retry_at > now())
          order by r.rank, r.created_at, r.id
          limit 1
        )
        union all
        (
          select w.due_at
          from process_jobs.begins b, process_jobs.waiting_jobs w
          where w.job_type = l.job_type collate "C" and w.lane = l.lane and w.due_at >= b.waiting_jobs
            and not exists (
              select from process_jobs.job_troubles b where b.job_id = w.id and b.kind = 'claim' and b.retry_at > now())
          order by w.due_at, w.id
          limit 1
        )
      ) next
      where (p_job_types is null or l.handler = any (p_job_types)) and l.opens_at < 'infinity'
    ),
    (select min(b.retry_at) from process_jobs.job_troubles b where b.kind in ('effect', 'cancel', 'notify') or b.kind = 'claim' and b.retry_at > now()),
    (
      select to_timestamp(r.last_value / 1000.0) + interval '500 milliseconds'
      from process_jobs.last_ring r
      where r.last_value > extract(epoch from now()) * 1000 - 500
    )
  ) offset 0) next (at) where next.at is not null);
end
$$;

revoke execute on function public.seconds_until_next_job(text[]) from public, anon, authenticated;
grant execute on function public.seconds_until_next_job(text[]) to service_role;
