-- worker: the worker that drained the queue last, its description of itself (before_drain), and its job types; one row.
create table if not exists process_jobs.worker (
  only_row boolean primary key default true,
  said jsonb not null,
  job_types text[],
  seen_at timestamptz not null default now(),
  constraint worker_is_one_row check (only_row)
);
