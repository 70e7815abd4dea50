-- lanes: the lanes of each type (places.sql), and what is so of their jobs now.
--
-- opens_at           from when on they may be claimed: infinity while the type is paused, -infinity if nothing holds them
-- starts_per_minute, available_starts  of lane 0, whose jobs begin; null: no limit
-- is_fair            its jobs have turns
-- is_called          whether their type's row names a function
-- lease_seconds      their type's
-- from_…             where in ready_jobs_order to look for the first: at the lane's mark, or before all
create or replace view process_jobs.lanes as
select t.job_type, lane.lane::smallint as lane, lane.opens_at <= now() as is_open, lane.opens_at, lane.starts_per_minute,
  case when lane.starts_per_minute is not null then process_jobs.available_starts(t) end as available_starts,
  t.priority_ages_seconds,
  coalesce(m.rank, -9223372036854775808) as from_rank,
  coalesce(m.created_at, '-infinity') as from_created_at,
  coalesce(m.id, '00000000-0000-0000-0000-000000000000') as from_id,
  t.fair_key is not null and lane.lane = 0 as is_fair,
  t.handler, t.call_function is not null as is_called, t.lease_seconds
from public.job_types t
cross join lateral (values
  (0, case when t.paused_at is null then coalesce(t.held_until, '-infinity') else 'infinity' end, t.starts_per_minute),
  (1, coalesce(t.begun_held_until, '-infinity'), null),
  (2, '-infinity', null)
) lane (lane, opens_at, starts_per_minute)
left join process_jobs.marks m on m.job_type = t.job_type collate "C" and m.lane = lane.lane and m.look_at > now();
