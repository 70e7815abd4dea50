-- scheduled_function: the function that schedule_process_jobs was told of, which a job that is ready rings (ring); no row:
-- none is scheduled, and nothing is rung.
--
-- ring_failed_at, ring_failure  of the last ring that failed; it is the last one of all while last_ring is not later
create table if not exists process_jobs.scheduled_function (
  only_row boolean primary key default true,
  function_url text not null,
  timeout_milliseconds int not null,
  ring_failed_at timestamptz,
  ring_failure text,
  constraint scheduled_function_is_one_row check (only_row)
);

-- last_ring: the millisecond of the last ring. A sequence, which every session sees at once, whatever its snapshot, and
-- which makes nobody wait. It has a value from the first schedule_process_jobs on.
create sequence if not exists process_jobs.last_ring;
