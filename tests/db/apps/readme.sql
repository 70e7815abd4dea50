-- The queue of the scripts that process-jobs takes over from in its other form: attempt_number and result, no
-- scheduled_at; the app has no image tables yet.
create table public.job_queue (
  id uuid primary key default gen_random_uuid(), job_type text not null, payload jsonb not null,
  status text not null default 'pending', priority int not null default 0, attempt_number int not null default 0,
  max_attempts int not null default 3, result jsonb, error_message text, created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(), completed_at timestamptz);
create index idx_job_queue_status on public.job_queue (status, priority desc, created_at);
create function public.claim_next_job() returns setof public.job_queue language sql security definer as
  $$ select * from public.job_queue where status = 'pending' limit 1 $$;
create function public.complete_job(p_job_id uuid, p_result jsonb default null, p_error text default null) returns void
language sql security definer as $$ update public.job_queue set status = 'completed', result = p_result where id = p_job_id $$;
create function public.enqueue_job(p_job_type text, p_payload jsonb, p_priority int default 0, p_max_attempts int default 3)
returns uuid language sql security definer as
  $$ insert into public.job_queue (job_type, payload, priority, max_attempts) values ($1, $2, $3, $4) returning id $$;
