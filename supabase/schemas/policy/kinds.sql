-- kinds: the two kinds of jobs of each type, those that have begun and those that have not, and whether they may be
-- claimed now. A begun job that was woken may be claimed all the same.
create or replace view process_jobs.kinds as
select t.job_type, kind.begun,
  case
    when kind.begun then t.begun_held_until is null or t.begun_held_until <= now()
    else t.paused_at is null and (t.held_until is null or t.held_until <= now())
  end as is_open
from public.job_types t
cross join (values (true), (false)) kind (begun);
