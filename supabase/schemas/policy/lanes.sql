-- lanes: the lanes of each type (places.sql), and whether their jobs may be claimed now.
create or replace view process_jobs.lanes as
select t.job_type, lane.lane::smallint as lane,
  case lane.lane
    when 0 then t.paused_at is null and (t.held_until is null or t.held_until <= now())
    when 1 then t.begun_held_until is null or t.begun_held_until <= now()
    else true
  end as is_open
from public.job_types t
cross join (values (0), (1), (2)) lane (lane);
