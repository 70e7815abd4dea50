-- needs_turn: whether a claim takes the turn: to take back lost jobs or to count starts. Locks nothing.
create or replace function process_jobs.needs_turn(p_job_types text[]) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  return exists (select from process_jobs.lost_jobs) or process_jobs.counts_starts(p_job_types);
end
$$;
