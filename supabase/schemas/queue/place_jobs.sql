-- place_jobs: gives jobs that have become pending or failed, and keys of jobs that have ended, their places; for
-- settle_jobs, take_back_jobs and keep_places. Those that are in their place already stay.
create or replace function process_jobs.place_jobs(p_jobs uuid[]) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_waiting bigint;
  v_ready bigint;
begin
  insert into process_jobs.waiting_jobs (id, job_type, lane, due_at, rank, created_at)
  select p.id, p.job_type, p.lane, p.due_at, p.rank, p.created_at
  from process_jobs.places p
  where p.id = any (p_jobs) and p.due_at > now()
  on conflict (id) do nothing;
  get diagnostics v_waiting = row_count;
  if v_waiting = cardinality(p_jobs) then
    return;
  end if;
  insert into process_jobs.ready_jobs (id, job_type, lane, rank, created_at)
  select p.id, p.job_type, p.lane, p.rank, p.created_at
  from process_jobs.places p
  where p.id = any (p_jobs) and p.due_at <= now()
  on conflict (id) do nothing;
  get diagnostics v_ready = row_count;
  if v_ready > 0 then
    perform process_jobs.lower_marks(p_jobs);
  end if;
  if v_waiting + v_ready = cardinality(p_jobs) then
    return;
  end if;
  insert into process_jobs.failed_jobs (id, job_type, failed_at)
  select j.id, j.job_type, j.completed_at
  from public.job_queue j
  where j.id = any (p_jobs) and j.status = 'failed'
  on conflict (id) do nothing;
  delete from process_jobs.unfinished_keys k
  where k.id = any (array(
    select j.id from public.job_queue j where j.id = any (p_jobs) and j.status in ('completed', 'failed', 'cancelled')));
end
$$;
