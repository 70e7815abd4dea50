-- prune_jobs: deletes jobs that ended before a time; returns their number.
--
-- p_ended_before  completed, failed and cancelled jobs with an earlier completed_at; at least an hour ago, because
--                 a late webhook or a repeated settle may still refer to a job that has just ended
-- p_limit         1 to 1000000: the most jobs in one transaction; call again while it returns that many
--
-- Rows of generation_progress, requests and turns (places.sql) that are over go along. Unfinished jobs, generations and
-- images stay. A deleted job can be neither retried nor redriven. Jobs that another
-- transaction has locked are skipped. Reads the table from its beginning, without an index. Refuses (22023) arguments
-- out of these bounds.
create or replace function public.prune_jobs(
  p_ended_before timestamptz default now() - interval '30 days',
  p_limit int default 100000
) returns int
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
as $$
declare
  v_pruned int;
begin
  if p_ended_before is null or p_ended_before > now() - interval '1 hour' then
    raise exception 'p_ended_before must be at least an hour ago, not %', coalesce(p_ended_before::text, 'null')
      using errcode = '22023';
  end if;
  if p_limit is null or p_limit not between 1 and 1000000 then
    raise exception 'p_limit must be between 1 and 1000000, not %', coalesce(p_limit::text, 'null') using errcode = '22023';
  end if;

  delete from public.job_queue j
  where j.id = any (array(
    select ended.id
    from public.job_queue ended
    where ended.status in ('completed', 'failed', 'cancelled') and ended.completed_at < p_ended_before
    limit p_limit
    for update skip locked
  ));
  get diagnostics v_pruned = row_count;
  delete from public.generation_progress g
  where g.status in ('completed', 'failed', 'cancelled') and g.updated_at < p_ended_before;
  -- What users' limits and keys need no more.
  delete from process_jobs.requests r
  where r.n = any (array(
    select old.n
    from process_jobs.requests old
    where old.created_at < least(p_ended_before, now() - interval '1 day')
      and not exists (
        select from public.job_queue j
        where j.payload ->> 'generation_id' = old.generation_id and j.job_type in ('generate-image', 'download-image'))
    limit p_limit
    for update skip locked
  ));
  delete from process_jobs.turns t
  where t.ctid = any (array(
    select behind.ctid
    from (
      select t.job_type, t.priority, coalesce(
          (
            select min(r.rank) & 2147483647 from process_jobs.ready_jobs r
            where r.job_type = t.job_type and r.lane = 0
              and r.rank > -t.priority::bigint << 31 and r.rank < (1 - t.priority::bigint) << 31
          ),
          max(t.turn)) as turn
      from process_jobs.turns t
      group by t.job_type, t.priority
    ) line
    join process_jobs.turns behind
      on behind.job_type = line.job_type and behind.priority = line.priority and behind.turn < line.turn
    limit p_limit
    for update of behind skip locked
  ));
  return v_pruned;
end
$$;

revoke execute on function public.prune_jobs(timestamptz, int) from public, anon, authenticated;
grant execute on function public.prune_jobs(timestamptz, int) to service_role;
