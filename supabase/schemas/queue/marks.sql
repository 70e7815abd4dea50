-- raise_marks, lower_marks: keep claims from passing again and again over entries of ready_jobs that are gone, but that
-- vacuum may not clear while a transaction is open somewhere.
--
-- raise_marks lets the next claims of these types begin at the first entry that there is now; when a mark is 10 s old, a
-- claim looks from the beginning again, for what a transaction has put before the mark and committed later. lower_marks
-- moves marks back to jobs that have just become ready. raise_time_marks does the first for waiting_jobs and leases, whose
-- new entries lie in the future. None of them waits for another session.
create or replace function process_jobs.raise_marks(p_job_types text[]) returns void
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
  v_lane record;
  v_mark process_jobs.marks;
begin
  if not pg_try_advisory_xact_lock(hashtext('process_jobs.marks')) then
    return;
  end if;
  for v_lane in
    select l.job_type, l.lane from process_jobs.lanes l where p_job_types is null or l.job_type = any (p_job_types)
  loop
    select r.job_type, r.lane, r.rank, r.created_at, r.id into v_mark
    from process_jobs.ready_jobs r
    where r.job_type = v_lane.job_type collate "C" and r.lane = v_lane.lane
    order by r.rank, r.created_at, r.id
    limit 1;
    if not found then
      v_mark := (v_lane.job_type, v_lane.lane, 9223372036854775807, 'infinity', 'ffffffff-ffff-ffff-ffff-ffffffffffff', null);
    end if;
    update process_jobs.marks m
    set rank = v_mark.rank, created_at = v_mark.created_at, id = v_mark.id, look_at = now() + interval '10 seconds'
    from (
      select k.job_type, k.lane from process_jobs.marks k
      where k.job_type = v_lane.job_type collate "C" and k.lane = v_lane.lane
      for update skip locked
    ) free
    where m.job_type = free.job_type and m.lane = free.lane;
    if not found then
      insert into process_jobs.marks (job_type, lane, rank, created_at, id, look_at)
      values (v_lane.job_type, v_lane.lane, v_mark.rank, v_mark.created_at, v_mark.id, now() + interval '10 seconds')
      on conflict do nothing;
    end if;
  end loop;
end
$$;

create or replace function process_jobs.lower_marks(p_jobs uuid[]) returns void
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
begin
  update process_jobs.marks m
  set rank = first.rank, created_at = first.created_at, id = first.id
  from (
    select distinct on (placed.job_type, placed.lane)
      placed.job_type, placed.lane, placed.rank, placed.created_at, placed.id
    -- (Offset: found by id alone, whatever else a planner finds promising.)
    from (select * from process_jobs.ready_jobs r where r.id = any (p_jobs) offset 0) placed
    order by placed.job_type, placed.lane, placed.rank, placed.created_at, placed.id
  ) first
  where m.ctid = any (array(select k.ctid from process_jobs.marks k where k.look_at > now() for update skip locked))
    and m.job_type = first.job_type and m.lane = first.lane
    and (first.rank, first.created_at, first.id) < (m.rank, m.created_at, m.id);
end
$$;

create or replace function process_jobs.raise_time_marks() returns void
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
begin
  if not pg_try_advisory_xact_lock(hashtext('process_jobs.marks')) then
    return;
  end if;
  insert into process_jobs.time_marks as m (place, begins_at, look_at)
  values
    ('leases', least(now(), (select min(l.expires_at) from process_jobs.leases l)), now() + interval '10 seconds'),
    ('waiting_jobs', least(now(), (select min(w.due_at) from process_jobs.waiting_jobs w)), now() + interval '10 seconds')
  on conflict (place) do update set begins_at = excluded.begins_at, look_at = excluded.look_at;
end
$$;
