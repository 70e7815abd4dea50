-- raise_marks: lets the next claims of these types begin at the first entry of each lane that there is now, instead of
-- passing again and again over entries of ready_jobs that are gone, but that vacuum may not clear while a transaction is
-- open somewhere; for claim_jobs. It waits for no other session.
--
-- A mark is a hint. Of what becomes ready before it lower_marks tells; what was on its way in that very moment is found
-- when the mark is over and a claim looks from the beginning: after a second, or a hundred times as long as it took here.
create or replace function process_jobs.raise_marks(p_job_types text[]) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '20ms'
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
    select l.job_type, l.lane, coalesce(r.rank, 9223372036854775807) as rank, coalesce(r.created_at, 'infinity') as created_at,
      coalesce(r.id, 'ffffffff-ffff-ffff-ffff-ffffffffffff') as id
    from process_jobs.lanes l
    left join lateral (
      select r.rank, r.created_at, r.id
      from process_jobs.ready_jobs r
      where r.job_type = l.job_type collate "C" and r.lane = l.lane
        and (r.rank, r.created_at, r.id) >= (l.from_rank, l.from_created_at, l.from_id)
      order by r.rank, r.created_at, r.id
      limit 1
    ) r on true
    where p_job_types is null or l.handler = any (p_job_types)
  )
  insert into process_jobs.marks as m (job_type, lane, rank, created_at, id, look_at)
  select f.job_type, f.lane, f.rank, f.created_at, f.id,
    now() + greatest(interval '1 second', 100 * (clock_timestamp() - v_began))
  from first f
  on conflict (job_type, lane) do update
  set rank = excluded.rank, created_at = excluded.created_at, id = excluded.id,
    look_at = case when m.look_at > now() then m.look_at else excluded.look_at end
  where m.look_at <= now() or (m.rank, m.created_at, m.id) < (excluded.rank, excluded.created_at, excluded.id);
exception
  when lock_not_available then
    null;
end
$$;
