-- place_in_turn: gives jobs of types with a fair_key, which are due and have not begun, their turns and their places; for
-- place_jobs, promote_jobs and rebuild_places. p_rings is as in place_jobs.
--
-- Start-time fair queuing: a job's turn is the one after its owner's last, and after the one that is being taken: that of
-- the first ready job of its priority or, if there is none, the last that anybody was given. So of the jobs that are ready
-- no owner has two in one turn, nobody pays for turns that are over, and no turn grows once it has come.
--
-- A session waits for nobody but those who place jobs of the same owner, and for 20 ms: then it reckons with what is
-- committed, and two jobs of that owner may have the same turn. After 2^31 turns of a priority age alone decides.
create or replace function process_jobs.place_in_turn(p_jobs uuid[], p_rings uuid default null) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '20ms'
-- As in exchange_jobs; but owners and jobs are hashed, or each job would look at each owner.
set enable_seqscan = off
set enable_hashjoin = on
set enable_mergejoin = off
set enable_bitmapscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  for v_waits in reverse 1 .. 0 loop
    begin
      with job as materialized (
        select j.id, j.job_type::text collate "C" as job_type, j.priority, j.created_at,
          hashtextextended(coalesce(j.payload ->> t.fair_key, ''), 0) as owner
        from public.job_queue j
        join public.job_types t on t.job_type = j.job_type
        where j.id = any (p_jobs)
      ), line as materialized (
        select p.job_type, p.priority, coalesce(
          (
            -- (One bound, where the lane's mark is before it too: two would be looked for from the lower one.)
            select r.rank & 2147483647
            from (select -p.priority::bigint << 31) b (rank)
            left join process_jobs.marks m on m.job_type = p.job_type and m.lane = 0 and m.look_at > now() and m.rank > b.rank
            cross join lateral (
              select r.rank from process_jobs.ready_jobs r
              where r.job_type = p.job_type and r.lane = 0 and r.rank < b.rank + 2147483648
                and (r.rank, r.created_at, r.id) >= (
                  coalesce(m.rank, b.rank + 1), coalesce(m.created_at, '-infinity'),
                  coalesce(m.id, '00000000-0000-0000-0000-000000000000'))
              order by r.rank, r.created_at, r.id
              limit 1
            ) r
          ),
          (
            select t.turn from process_jobs.turns t
            where t.job_type = p.job_type and t.priority = p.priority and t.turn > 0
            order by t.turn desc
            limit 1
          ),
          0) as turn
        from (select distinct j.job_type, j.priority from job j) p
      ), asked as materialized (
        select l.job_type, l.priority, j.owner, l.turn + count(*) as turn, count(*) as jobs
        from job j
        join line l on l.job_type = j.job_type and l.priority = j.priority
        group by l.job_type, l.priority, j.owner, l.turn
      ), given as (
        -- In one order in all calls, so that no two wait for each other.
        insert into process_jobs.turns as t (job_type, priority, owner, turn, jobs)
        select a.job_type, a.priority, a.owner, a.turn, a.jobs from asked a where v_waits = 1
        order by a.job_type, a.priority, a.owner
        on conflict (job_type, priority, owner) do update
        set turn = greatest(t.turn + excluded.jobs, excluded.turn), jobs = excluded.jobs
        returning t.*
      )
      insert into process_jobs.ready_jobs (id, job_type, lane, rings, rank, created_at)
      select j.id, j.job_type, 0,
        j.id is not distinct from p_rings and set_config('process_jobs.ring', 'asked', true) = 'asked',
        (-j.priority::bigint << 31) + least(2147483647, g.turn - g.jobs + j.n), j.created_at
      from (
        select j.*, row_number() over (partition by j.job_type, j.priority, j.owner order by j.created_at, j.id) as n from job j
      ) j
      join (
        select g.job_type, g.priority, g.owner, g.turn, g.jobs from given g
        union all
        select a.job_type, a.priority, a.owner, greatest(t.turn + a.jobs, a.turn), a.jobs
        from asked a
        left join process_jobs.turns t on t.job_type = a.job_type and t.priority = a.priority and t.owner = a.owner
        where v_waits = 0
      ) g on g.job_type = j.job_type and g.priority = j.priority and g.owner = j.owner
      on conflict (id) do nothing;
      return;
    exception
      -- (Of waits that follow each other, one that ends in the very moment it is over shows as a cancel. A real cancel that
      -- comes then is lost, and the statement goes on, which waits for no turn any more.)
      when lock_not_available or query_canceled or serialization_failure then
        if v_waits = 0 then
          raise;
        end if;
        -- (What may be waited for now is a table that many make longer at once.)
        perform set_config('lock_timeout', '300ms', true);
    end;
  end loop;
end
$$;
