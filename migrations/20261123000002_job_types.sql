-- job_types: one row a job type, its retry policy and whether its jobs may be claimed.
--
-- A job runs again backoff_base_seconds * 2^(attempt - 1) after a failed attempt, at most
-- backoff_max_seconds, each ±25 %. A *paused* type waits for resume_job_type, a *held* one until
-- held_until. Only types with a row here are enqueued by enqueue_job and claimed by claim_next_job.
create table if not exists public.job_types (
  job_type text primary key,
  backoff_base_seconds double precision not null default 5,
  backoff_max_seconds double precision not null default 600,
  paused_at timestamptz,
  paused_reason text,
  held_until timestamptz,
  constraint job_types_backoff_is_positive check (
    backoff_base_seconds > 0 and backoff_max_seconds >= backoff_base_seconds
  ),
  constraint job_types_paused_has_reason check ((paused_at is null) = (paused_reason is null))
);

alter table public.job_types enable row level security;
revoke all on public.job_types from public, anon, authenticated;
grant select, insert, update, delete on public.job_types to service_role;
