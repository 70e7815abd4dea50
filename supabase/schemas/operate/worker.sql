-- worker: which worker has drained the queue last, what it said of itself (before_drain), and the types that it handles;
-- one row.
create table if not exists process_jobs.worker (
  only_row boolean primary key default true,
  said jsonb not null,
  job_types text[],
  seen_at timestamptz not null default now(),
  constraint worker_is_one_row check (only_row)
);
