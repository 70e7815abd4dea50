-- place_jobs: gives jobs that have become pending or failed, and keys of jobs that have ended, their places; for
-- settle_jobs, take_back_jobs, keep_places and place_inserted. Those that are in their place already stay.
--
-- p_rings  the job to ring for when the transaction commits (ring_at_commit), if it is ready now
drop function if exists process_jobs.place_jobs(uuid[]);
create or replace function process_jobs.place_jobs(p_jobs uuid[], p_rings uuid default null) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs; the other settings for that are its callers'.
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_placed uuid[];
  v_ready uuid[];
  v_fair uuid[];
begin
  with place as materialized (
    select p.id, p.job_type, p.lane, p.rank, p.created_at, p.due_at
    from process_jobs.places p
    where p.id = any (p_jobs)
  ), waiting as (
    insert into process_jobs.waiting_jobs (id, job_type, lane, due_at, rank, created_at)
    select p.id, p.job_type, p.lane, p.due_at, p.rank, p.created_at from place p where p.due_at > now()
    on conflict (id) do nothing
  ), ready as (
    insert into process_jobs.ready_jobs (id, job_type, lane, rings, rank, created_at)
    select p.id, p.job_type, p.lane,
      p.id is not distinct from p_rings and set_config('process_jobs.ring', 'asked', true) = 'asked', p.rank, p.created_at
    from place p
    where p.due_at <= now() and p.rank is not null
    on conflict (id) do nothing
  )
  select array_agg(p.id), array_agg(p.id) filter (where p.due_at <= now()),
    array_agg(p.id) filter (where p.due_at <= now() and p.rank is null)
  into v_placed, v_ready, v_fair
  from place p;
  if v_fair is not null then
    perform process_jobs.place_in_turn(v_fair, p_rings);
  end if;
  if v_ready is not null and exists (select from process_jobs.marks) then
    perform process_jobs.lower_marks(v_ready);
  end if;
  if cardinality(v_placed) = cardinality(p_jobs) then
    return;
  end if;

  insert into process_jobs.failed_jobs (id, job_type, failed_at)
  select j.id, j.job_type, j.completed_at
  from public.job_queue j
  where j.id = any (p_jobs) and j.status = 'failed'
  on conflict (id) do nothing;
  -- (Offset: each key is looked up by itself.)
  delete from process_jobs.unfinished_keys k
  where k.ctid = any (array(
    select held.place
    from public.job_queue j
    cross join lateral (
      select h.ctid as place from process_jobs.unfinished_keys h
      where h.job_type = j.job_type collate "C" and h.unique_key = j.unique_key collate "C" and h.id = j.id
      offset 0
    ) held
    where j.id = any (p_jobs) and j.status in ('completed', 'failed', 'cancelled')));
end
$$;
