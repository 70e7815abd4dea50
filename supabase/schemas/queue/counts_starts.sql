-- counts_starts: whether one of these types has starts_per_minute and a job that may begin; for has_chores and needs_turn.
create or replace function process_jobs.counts_starts(p_job_types text[]) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  return exists (
    select from process_jobs.lanes l
    where (p_job_types is null or l.handler = any (p_job_types))
      -- (Case and offset: only such lanes are looked into, and only at their first job.)
      and case
        when l.starts_per_minute is null or not l.is_open then false
        else exists (
            select from process_jobs.ready_jobs r
            where r.job_type = l.job_type collate "C" and r.lane = l.lane
              and (r.rank, r.created_at, r.id) >= (l.from_rank, l.from_created_at, l.from_id)
            offset 0)
          or exists (
            select from process_jobs.begins b, process_jobs.waiting_jobs w
            where w.job_type = l.job_type collate "C" and w.lane = l.lane
              and w.due_at <= now() and w.due_at >= b.waiting_jobs
            offset 0)
      end);
end
$$;
