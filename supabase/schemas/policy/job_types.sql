-- job_types: one row per job type, with its policy and the state of its claims.
--
-- backoff_base_seconds, backoff_max_seconds  a job runs again base * 2^(attempt - 1) seconds after a failed
--                    attempt, at most max, which is 30 days at most, each ±25 %
-- lease_seconds      the time that a claim lasts without a heartbeat; below the 15 s that a worker may wait for another
--                    claim, it can end while its run goes on
-- starts_per_minute  the number of jobs that may begin per minute, 0.00001 to a million, null: no limit; a tenth of it,
--                    at least one, may begin at once, so that no minute sees more than 1.1 times as many. start_tokens
--                    of that tenth were left at start_tokens_at (available_starts)
-- priority_ages_seconds  after each so many seconds a waiting job counts as one priority higher; null: never, so that
--                    the highest priority always goes first. 0.001 to a million
-- fair_key           the key of the payload that names a job's owner, as 'user_id': of jobs of one priority each owner's go
--                    in turns with the others'; null: in the order in which they were made. Not beside
--                    priority_ages_seconds: a turn is no time
-- notify_url         the address that is told of the end of each job that names none itself: an operator's, http or https;
--                    a job gets it when it is enqueued by enqueue_job, enqueue_jobs or as a follow-up
-- paused_at          a *paused* type waits for resume_job_type; its jobs that have begun continue
-- held_until         no job of the type begins before this time
-- begun_held_until   no job of the type that has begun continues before this time, except a woken one
-- call_function      the Edge Function of this project that does the work, by its name; null: a handler of the worker's own
-- call_timeout_seconds  the time of one attempt of such a function, from its call to the job's end; null: JOB_TIMEOUT_MS
-- handler            what a worker must have to claim the type's jobs: the type, or 'call_function'. What a worker asks for
--                    as its job types are these, so that one that cannot call functions never gets a job of theirs
--
-- A job *has begun* when it has a checkpoint. enqueue_job and claim_next_job accept only types with a row here.
create table if not exists public.job_types (
  job_type text primary key,
  backoff_base_seconds double precision not null default 5,
  backoff_max_seconds double precision not null default 600,
  lease_seconds int not null default 60,
  starts_per_minute double precision,
  start_tokens double precision,
  start_tokens_at timestamptz,
  paused_at timestamptz,
  paused_reason text,
  held_until timestamptz,
  begun_held_until timestamptz,
  priority_ages_seconds double precision,
  fair_key text,
  constraint job_types_backoff_is_positive check (
    backoff_base_seconds > 0 and backoff_max_seconds >= backoff_base_seconds
  ),
  constraint job_types_backoff_is_bounded check (backoff_max_seconds <= 2592000),
  constraint job_types_lease_is_positive check (lease_seconds between 1 and 86400),
  -- What no claim can reckon with would stop those of every type.
  constraint job_types_starts_are_bounded check (
    starts_per_minute between 0.00001 and 1000000
    and start_tokens between -1000000 and 1000000
    and start_tokens_at between '1970-01-01 00:00:00+00' and '9999-12-31 00:00:00+00'
  ),
  constraint job_types_priority_ages_bounded check (priority_ages_seconds between 0.001 and 1000000),
  constraint job_types_fair_or_ageing check (fair_key is null or priority_ages_seconds is null),
  constraint job_types_times_are_finite check (
    isfinite(paused_at) is not false and isfinite(held_until) is not false and isfinite(begun_held_until) is not false
  ),
  constraint job_types_paused_has_reason check ((paused_at is null) = (paused_reason is null))
);

alter table public.job_types
  add column if not exists notify_url text
    constraint job_types_notify_url_is_http check (notify_url ~* '^https?://[a-z0-9._:\[\]-]+([/?#]|$)' and length(notify_url) <= 2048),
  add column if not exists call_function text
    constraint job_types_call_function_is_a_name check (call_function ~ '^[A-Za-z][A-Za-z0-9_-]{0,99}$')
    constraint job_types_call_function_is_another check (call_function <> 'process-jobs'),
  add column if not exists call_timeout_seconds int
    constraint job_types_call_timeout_is_bounded check (call_timeout_seconds between 1 and 2592000),
  add column if not exists handler text not null
    -- A row a type is rewritten in a moment.
    -- squawk-ignore adding-field-with-default
    generated always as (case when call_function is null then job_type else 'call_function' end) stored;

alter table public.job_types enable row level security;
revoke all on public.job_types from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.job_types to service_role;
