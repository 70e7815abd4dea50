-- raise_time_marks: does what raise_marks does for waiting_jobs and leases, whose new entries lie in the future; for
-- has_chores.
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
declare
  v_began constant timestamptz := clock_timestamp();
begin
  if not pg_try_advisory_xact_lock(hashtext('process_jobs.marks')) then
    return;
  end if;
  with first as materialized (
    select 'leases' as place, (
        select min(l.expires_at) from process_jobs.begins b, process_jobs.leases l where l.expires_at >= b.leases) as begins_at
    union all
    select 'waiting_jobs', (
        select min(w.due_at) from process_jobs.begins b, process_jobs.waiting_jobs w where w.due_at >= b.waiting_jobs)
  )
  insert into process_jobs.time_marks as m (place, begins_at, look_at)
  select f.place, least(now(), f.begins_at), now() + greatest(interval '1 second', 100 * (clock_timestamp() - v_began))
  from first f
  on conflict (place) do update
  set begins_at = excluded.begins_at, look_at = case when m.look_at > now() then m.look_at else excluded.look_at end
  where m.look_at <= now() or m.begins_at < excluded.begins_at;
end
$$;
