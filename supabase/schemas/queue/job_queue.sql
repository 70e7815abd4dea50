-- job_queue: every job, waiting, running and ended.
--
-- A parked or retrying job is `pending` with a later scheduled_at.
--
-- life                 1, plus one for each retry_job
-- started_at           first claim of this life; null again while it waits without having begun
-- first_started_at     first claim of all lives
-- checkpoint, begun    the state for the next run; a job that has one has begun
-- delayed              true: not due from its creation on, because it was parked, retried or scheduled for later
-- event, woken_at      the last event of wake_job; the time of wake_job or cancel_job, until the next claim
-- follow_ups           of a job that failed because its completion was refused: the follow-ups of that completion
-- cancel_requested_at  the time of cancel_job for a job that must end something first
-- An app's existing table of that name is brought to this form by steps/0.1.0.sql; its privileges, policies and row
-- level security stay the app's.
do $$
begin
  if to_regclass('public.job_queue') is not null then
    return;
  end if;
  create table public.job_queue (
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
    completed_at timestamptz,
    scheduled_at timestamptz not null default now(),
    started_at timestamptz,
    lease_token uuid,
    lease_expires_at timestamptz,
    checkpoint jsonb,
    progress smallint,
    errors jsonb not null default '[]',
    unique_key text,
    created_by text,
    life int not null default 1,
    first_started_at timestamptz,
    event jsonb,
    woken_at timestamptz,
    cancel_requested_at timestamptz,
    follow_ups jsonb,
    begun boolean not null generated always as (checkpoint is not null) stored,
    delayed boolean not null generated always as (scheduled_at > created_at) stored,
    constraint job_queue_status_is_known check (status in ('pending', 'processing', 'completed', 'failed', 'cancelled')),
    constraint job_queue_processing_has_lease check (
      status <> 'processing' or (lease_token is not null and lease_expires_at is not null)
    ),
    constraint job_queue_attempts_within_max check (attempt_number between 0 and max_attempts and max_attempts >= 1),
    constraint job_queue_progress_is_percent check (progress between 0 and 100),
    constraint job_queue_errors_is_array check (jsonb_typeof(errors) = 'array'),
    constraint job_queue_scheduled_at_finite check (isfinite(scheduled_at)),
    constraint job_queue_times_are_finite check (
      isfinite(created_at) and isfinite(started_at) is not false
      and isfinite(first_started_at) is not false and isfinite(lease_expires_at) is not false
    ),
    constraint job_queue_unique_key_length check (length(unique_key) between 1 and 200)
  )
  -- Each run leaves two dead rows. By default they would be cleared when they are a fifth of the table, finished jobs
  -- included.
  with (
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.02
  );
  alter table public.job_queue enable row level security;
  revoke all on public.job_queue from public, anon, authenticated, service_role;
  grant select, insert, update, delete on public.job_queue to service_role;
  comment on table public.job_queue is 'made by process-jobs';
end
$$;

-- The claim's order within one type, separately for jobs that have begun or not, and that are due from their creation
-- on or delayed. scheduled_at comes last so that jobs not yet due are skipped inside the index.
create index if not exists job_queue_claim_order
  on public.job_queue (job_type, begun, delayed, priority desc, created_at, id, scheduled_at) where status = 'pending';
-- Finds the due delayed jobs, and the time of a type's next one.
create index if not exists job_queue_next_due
  on public.job_queue (job_type, begun, scheduled_at) where status = 'pending' and delayed;
-- Finds the jobs with an event that no run has seen.
create index if not exists job_queue_woken
  on public.job_queue (job_type, priority desc, created_at, id) where status = 'pending' and begun and woken_at is not null;
-- Finds the expired leases.
create index if not exists job_queue_lease_expiry
  on public.job_queue (lease_expires_at) where status = 'processing';
-- Finds the failed jobs, the longest failed first.
create index if not exists job_queue_failed
  on public.job_queue (job_type, completed_at) where status = 'failed';
-- Allows one unfinished job per type and key: two types may use the same id as their key.
create unique index if not exists job_queue_unique_unfinished
  on public.job_queue (job_type, unique_key) where unique_key is not null and status in ('pending', 'processing');
