-- promote_jobs: moves jobs that have fallen due from waiting_jobs to ready_jobs, at most p_limit, the longest due first;
-- for claim_jobs. Entries that another transaction has locked are passed over.
create or replace function process_jobs.promote_jobs(p_limit int) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set enable_sort = off
set enable_bitmapscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_promoted uuid[];
  v_fair uuid[];
begin
  with due as materialized (
    select w.ctid as place
    from process_jobs.waiting_jobs w
    where w.due_at <= now() and w.due_at >= (select b.waiting_jobs from process_jobs.begins b)
    order by w.due_at
    limit p_limit
    for update skip locked
  ), promoted as (
    delete from process_jobs.waiting_jobs w
    where w.ctid = any (array(select place from due))
    returning w.id, w.job_type, w.lane, w.rank, w.created_at
  ), placed as (
    insert into process_jobs.ready_jobs (id, job_type, lane, rank, created_at)
    select p.id, p.job_type, p.lane, p.rank, p.created_at from promoted p
    where p.rank is not null
    on conflict (id) do nothing
  )
  select array_agg(p.id), array_agg(p.id) filter (where p.rank is null) into v_promoted, v_fair from promoted p;
  if v_fair is not null then
    perform process_jobs.place_in_turn(v_fair);
  end if;
  if v_promoted is not null and exists (select from process_jobs.marks) then
    perform process_jobs.lower_marks(v_promoted);
  end if;
end
$$;
