-- job_queue: every job, waiting, running and ended.
--
-- A parked or retrying job is `pending` with a later scheduled_at.
--
-- life                 1, plus one for each retry_job
-- started_at           first claim of this life; null again while it waits without having begun
-- first_started_at     first claim of all lives
-- checkpoint           the state for the next run; a job that has one has begun
-- event, woken_at      the last event of wake_job; the time of wake_job or cancel_job, until the next claim
-- moves                raised with each change by the functions that give a job its place themselves (places.sql)
-- follow_ups           of a job that failed because its completion was refused: the follow-ups of that completion
-- notify_url           the address that is told of the job's end (notify_end); notify_user: the user who has given it
-- cancel_requested_at  the time of cancel_job for a job that must end something first
--
-- No index has a column that changes in a job's life, and no constraint is checked with each change: where a job stands is
-- in narrow tables of their own (places.sql), and a trigger checks what is written by hand (check_job).
--
-- An app's existing table of that name is brought to this form by steps/0.1.0.sql; its privileges, policies and row
-- level security stay the app's.
do $$
begin
  if to_regclass('public.job_queue') is not null then
    return;
  end if;
  create table public.job_queue (
    id uuid primary key default process_jobs.new_job_id(),
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
    moves int not null default 0,
    notify_url text,
    notify_user text
  )
  -- Each claim and each settle leaves a dead row in the page's free half, where the next take their room again: jobs of
  -- one insert lie together, and are claimed together. What remains would by default be cleared when it is a fifth of the
  -- table, finished jobs included.
  with (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.02
  );
  alter table public.job_queue enable row level security;
  revoke all on public.job_queue from public, anon, authenticated, service_role;
  grant select, insert, update, delete on public.job_queue to service_role;
  comment on table public.job_queue is 'made by process-jobs';
end
$$;
