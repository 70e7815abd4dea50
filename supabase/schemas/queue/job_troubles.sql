-- job_troubles: the obstacles of a job; all but those of kind settle are retried automatically.
--
-- kind      claim   the database refuses to let it be claimed or taken back: claims skip it until retry_at
--           effect  a trigger of process-jobs that follows it failed: retry_job_troubles repeats it at retry_at
--           cancel  it is to be cancelled but locked: retry_job_troubles cancels it at retry_at
--           notify  nobody could be notified of its end (notify_end): retry_job_troubles repeats it at retry_at
--           settle  its run's outcome under lease_token could not be recorded; for the message when that lease ends
-- message   the database's words
-- tries     the number of tries in a row
create table if not exists process_jobs.job_troubles (
  job_id uuid not null,
  kind text not null,
  message text not null,
  lease_token uuid,
  tries int not null default 1,
  since timestamptz not null default now(),
  retry_at timestamptz not null,
  primary key (job_id, kind),
  constraint job_troubles_kind_is_known check (kind in ('claim', 'effect', 'cancel', 'settle', 'notify'))
);
create index if not exists job_troubles_retry_at on process_jobs.job_troubles (retry_at);
