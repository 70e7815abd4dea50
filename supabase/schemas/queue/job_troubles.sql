-- job_troubles: what stands in a job's way; each is tried again by itself.
--
-- kind      claim   the database refuses to let it be claimed, or taken back: claims pass over it until retry_at
--           effect  what follows it (a trigger of ours) could not: retry_job_troubles has it follow at retry_at
--           cancel  it is to be cancelled, and somebody has it: retry_job_troubles cancels it at retry_at
--           settle  what its run under lease_token came to could not be recorded; for the message of that lease's end
-- message   the database's words
-- tries     how often in a row
create table if not exists process_jobs.job_troubles (
  job_id uuid not null,
  kind text not null,
  message text not null,
  lease_token uuid,
  tries int not null default 1,
  since timestamptz not null default now(),
  retry_at timestamptz not null,
  primary key (job_id, kind),
  constraint job_troubles_kind_is_known check (kind in ('claim', 'effect', 'cancel', 'settle'))
);
create index if not exists job_troubles_retry_at on process_jobs.job_troubles (retry_at);
