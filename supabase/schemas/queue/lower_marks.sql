-- lower_marks: moves the marks of lanes back to these jobs, which have just become ready; for place_jobs and promote_jobs.
create or replace function process_jobs.lower_marks(p_jobs uuid[]) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '20ms'
-- As in exchange_jobs.
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  with first as materialized (
    select distinct on (placed.job_type, placed.lane)
      placed.job_type, placed.lane, placed.rank, placed.created_at, placed.id
    -- (Offset: found by id alone, whatever else a planner finds promising.)
    from (select * from process_jobs.ready_jobs r where r.id = any (p_jobs) offset 0) placed
    order by placed.job_type, placed.lane, placed.rank, placed.created_at, placed.id
  )
  update process_jobs.marks m
  set rank = f.rank, created_at = f.created_at, id = f.id
  from first f
  where m.job_type = f.job_type and m.lane = f.lane and m.look_at > now()
    and (f.rank, f.created_at, f.id) < (m.rank, m.created_at, m.id);
exception
  when lock_not_available then
    -- Found when the mark is over (raise_marks).
    null;
end
$$;
