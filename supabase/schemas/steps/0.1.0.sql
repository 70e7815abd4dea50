-- 0.1.0: the table and the functions of the scripts that process-jobs takes over from are brought up to date in place.
drop function if exists public.enqueue_job(text, jsonb, int, int); -- two would be ambiguous
drop function if exists public.complete_job(uuid, jsonb, text);
drop function if exists public.claim_next_job();

do $$
declare
  v_constraint record;
begin
  if to_regclass('public.job_queue') is null
    or exists (select from pg_catalog.pg_constraint
      where conrelid = to_regclass('public.job_queue') and conname = 'job_queue_processing_has_lease') then
    return;
  end if;

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
    add column if not exists begun boolean not null generated always as (checkpoint is not null) stored,
    add column if not exists delayed boolean not null generated always as (scheduled_at > created_at) stored;

  -- Their workers held no leases and kept no bound on attempts.
  update public.job_queue set status = 'pending' where status = 'processing';
  update public.job_queue set max_attempts = attempt_number where attempt_number > max_attempts;
end
$$;
