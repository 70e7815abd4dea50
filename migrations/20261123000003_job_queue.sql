-- job_queue: every job, waiting, running and ended.
--
-- A parked or retrying job is `pending` with a later scheduled_at. The columns and constraints are
-- added one by one where the table of the first version is already there.
--
-- life                 1, and one more with each retry_job
-- started_at           first claim of this life; null again while it waits without having begun
-- first_started_at     first claim of all lives
-- checkpoint, begun    what the next run must know; a job that has one has begun
-- delayed              true: not due from its creation on, but parked, retrying or scheduled for later
-- event, woken_at      what wake_job was told last, and when, while no run has seen it
-- cancel_requested_at  cancel_job was called for a job that has something to end first
create table if not exists public.job_queue (
  id uuid primary key default gen_random_uuid(),
  job_type text not null,
  payload jsonb not null default '{}',
  status text not null default 'pending',
  priority int not null default 0,
  attempt_number int not null default 0,
  max_attempts int not null default 3,
  result jsonb,
  error_message text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  completed_at timestamptz
);

alter table public.job_queue
  add column if not exists scheduled_at timestamptz not null default now(),
  add column if not exists started_at timestamptz,
  add column if not exists lease_token uuid,
  add column if not exists lease_expires_at timestamptz,
  add column if not exists checkpoint jsonb,
  add column if not exists progress smallint,
  add column if not exists errors jsonb not null default '[]',
  add column if not exists unique_key text,
  add column if not exists created_by text,
  add column if not exists life int not null default 1,
  add column if not exists first_started_at timestamptz,
  add column if not exists event jsonb,
  add column if not exists woken_at timestamptz,
  add column if not exists cancel_requested_at timestamptz,
  -- These two rewrite a table of the first version, once; a new one is empty.
  -- squawk-ignore adding-field-with-default
  add column if not exists begun boolean not null generated always as (checkpoint is not null) stored,
  -- squawk-ignore adding-field-with-default
  add column if not exists delayed boolean not null generated always as (scheduled_at > created_at) stored;

-- Rows of the first version: its workers held no leases and kept no bound on attempts.
update public.job_queue set status = 'pending' where status = 'processing' and lease_token is null;
update public.job_queue set max_attempts = attempt_number where attempt_number > max_attempts;
-- Times that no claim can reckon with.
update public.job_queue
set created_at = case when isfinite(created_at) then created_at else now() end,
  started_at = case when isfinite(started_at) then started_at end,
  first_started_at = case when isfinite(first_started_at) then first_started_at end,
  lease_expires_at = case when isfinite(lease_expires_at) or lease_expires_at is null then lease_expires_at else now() end
where (isfinite(created_at) and isfinite(started_at) is not false and isfinite(first_started_at) is not false
  and isfinite(lease_expires_at) is not false) is not true;

do $$
declare
  v_constraint record;
begin
  for v_constraint in
    select wanted.name, wanted.expression
    from (values
      ('job_queue_status_is_known', $c$status in ('pending', 'processing', 'completed', 'failed', 'cancelled')$c$),
      ('job_queue_processing_has_lease',
        $c$status <> 'processing' or (lease_token is not null and lease_expires_at is not null)$c$),
      ('job_queue_attempts_within_max', 'attempt_number between 0 and max_attempts and max_attempts >= 1'),
      ('job_queue_progress_is_percent', 'progress between 0 and 100'),
      ('job_queue_errors_is_array', $c$jsonb_typeof(errors) = 'array'$c$),
      ('job_queue_scheduled_at_finite', 'isfinite(scheduled_at)'),
      ('job_queue_times_are_finite', $c$isfinite(created_at) and isfinite(started_at) is not false
        and isfinite(first_started_at) is not false and isfinite(lease_expires_at) is not false$c$),
      ('job_queue_unique_key_length', 'length(unique_key) between 1 and 200')
    ) as wanted (name, expression)
    where not exists (
      select from pg_catalog.pg_constraint
      where conrelid = 'public.job_queue'::regclass and conname = wanted.name
    )
  loop
    execute format('alter table public.job_queue add constraint %I check (%s)', v_constraint.name, v_constraint.expression);
  end loop;
end
$$;

-- The claim's order within one type, for jobs that have begun and those that have not, those due from their creation
-- on and those delayed. scheduled_at comes last so that what is not due is passed over inside the index.
create index if not exists job_queue_claim_order
  on public.job_queue (job_type, begun, delayed, priority desc, created_at, id, scheduled_at) where status = 'pending';
-- Which delayed jobs are due, and when the next of a type is.
create index if not exists job_queue_next_due
  on public.job_queue (job_type, begun, scheduled_at) where status = 'pending' and delayed;
-- Which jobs were told something that no run has seen.
create index if not exists job_queue_woken
  on public.job_queue (job_type, priority desc, created_at, id) where status = 'pending' and begun and woken_at is not null;
-- Which leases have expired.
create index if not exists job_queue_lease_expiry
  on public.job_queue (lease_expires_at) where status = 'processing';
-- Which jobs have failed, the longest failed first.
create index if not exists job_queue_failed
  on public.job_queue (job_type, completed_at) where status = 'failed';
-- One unfinished job a key, counted by type: two types may use the same id as their key.
create unique index if not exists job_queue_unique_unfinished
  on public.job_queue (job_type, unique_key) where unique_key is not null and status in ('pending', 'processing');

-- Each run leaves two dead rows. By default they would be cleared when they are a fifth of the table, finished jobs
-- included.
alter table public.job_queue set (
  autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.02
);

alter table public.job_queue enable row level security;
revoke all on public.job_queue from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.job_queue to service_role;

-- job_troubles: what stands in a job's way; each is tried again by itself.
--
-- kind      claim   the database refuses to let it be claimed, or taken back: claims pass over it until retry_at
--           effect  what follows it (a trigger of ours) could not: retry_job_troubles has it follow at retry_at
--           settle  what its run under lease_token came to could not be recorded; for the message of that lease's end
-- message   the database's words
-- tries     how often in a row
create table if not exists public.job_troubles (
  job_id uuid not null,
  kind text not null,
  message text not null,
  lease_token uuid,
  tries int not null default 1,
  since timestamptz not null default now(),
  retry_at timestamptz not null,
  primary key (job_id, kind),
  constraint job_troubles_kind_is_known check (kind in ('claim', 'effect', 'settle'))
);
create index if not exists job_troubles_retry_at on public.job_troubles (retry_at);

alter table public.job_troubles enable row level security;
revoke all on public.job_troubles from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.job_troubles to service_role;
