-- A picture app with the queue of the scripts that process-jobs takes over from: the form with attempts, scheduled_at
-- and created_by. As a hosted project has it: every function granted to the roles of the API.
create schema auth;
create table auth.users (id uuid primary key default gen_random_uuid());
create function auth.uid() returns uuid language sql stable as
  $$ select nullif(current_setting('request.jwt.claims', true)::jsonb ->> 'sub', '')::uuid $$;
create table public.profiles (id uuid primary key references auth.users (id), name text);
create table public.models (id uuid primary key default gen_random_uuid(), name text);
create table public.batch_generations (
  id uuid primary key default gen_random_uuid(), completed_count int not null default 0, failed_count int not null default 0);

create table public.image_generations (
  id uuid primary key default gen_random_uuid(), user_id uuid references public.profiles (id), prompt text not null,
  negative_prompt text, model text, model_id uuid references public.models (id), style text, width int, height int, steps int,
  guidance_scale numeric, seed bigint, source_image_url text, generation_strength numeric, status text default 'pending'
    check (status in ('pending', 'queued', 'processing', 'downloading', 'completed', 'failed')),
  error_message text, generation_time_seconds int, replicate_prediction_id text, priority int default 0, retry_count int default 0,
  batch_id uuid references public.batch_generations (id), batch_index int, multi_group_id uuid, multi_index int,
  created_at timestamptz default now(), completed_at timestamptz);
create function public.count_batch() returns trigger language plpgsql as $$
begin
  if new.batch_id is not null and new.status is distinct from old.status then
    update public.batch_generations b set
      completed_count = (select count(*) from public.image_generations g where g.batch_id = b.id and g.status = 'completed'),
      failed_count = (select count(*) from public.image_generations g where g.batch_id = b.id and g.status = 'failed')
    where b.id = new.batch_id;
  end if;
  return new;
end
$$;
create trigger count_batch after update on public.image_generations for each row execute function public.count_batch();
alter table public.image_generations enable row level security;
create policy "own generations" on public.image_generations for select to authenticated using (user_id = auth.uid());

create table public.images (
  id uuid primary key default gen_random_uuid(), user_id uuid references public.profiles (id),
  generation_id uuid references public.image_generations (id), filename text not null, storage_path text not null,
  prompt text not null, public_url text, file_size int, width int, height int, format text, negative_prompt text, model text,
  style text, blurhash text, is_public boolean default false, is_favorite boolean default false, rating int,
  download_count int default 0, source_image_id uuid, generation_strength numeric, archived_at timestamptz,
  created_at timestamptz default now());
alter table public.images enable row level security;
create policy "own images that are not archived, and public ones" on public.images for select to authenticated
  using ((user_id = auth.uid() and archived_at is null) or is_public);

create table public.job_queue (
  id uuid primary key default gen_random_uuid(),
  job_type text not null check (job_type in ('generate-image', 'download-image', 'process-webhook', 'cleanup-storage')),
  payload jsonb not null,
  status text not null default 'pending' check (status in ('pending', 'processing', 'completed', 'failed', 'cancelled')),
  attempts int not null default 0, max_attempts int not null default 3, scheduled_at timestamptz not null default now(),
  started_at timestamptz, completed_at timestamptz, error_message text, error_details jsonb,
  created_by uuid references auth.users (id) on delete set null, priority int default 0,
  created_at timestamptz not null default now(), updated_at timestamptz not null default now());
create index idx_job_queue_pending on public.job_queue (priority desc, scheduled_at) where status = 'pending';
create index idx_job_queue_type on public.job_queue (job_type);
create index idx_job_queue_created_by on public.job_queue (created_by);
create index idx_job_queue_status on public.job_queue (status);
create function public.touch_job() returns trigger language plpgsql as $$ begin new.updated_at = now(); return new; end $$;
create trigger touch_job before update on public.job_queue for each row execute function public.touch_job();
alter table public.job_queue enable row level security;
create policy "own jobs" on public.job_queue for select to authenticated using (created_by = auth.uid());
create policy "cancel own jobs" on public.job_queue for update to authenticated
  using (created_by = auth.uid() and status = 'pending') with check (created_by = auth.uid());
create policy "service role" on public.job_queue to service_role using (true) with check (true);
grant select, update on public.job_queue to authenticated;

create view public.queue_health as
  select job_type, status, count(*) as count, min(created_at) as oldest_job, max(created_at) as newest_job,
    avg(extract(epoch from completed_at - started_at)) as avg_duration_seconds, avg(attempts) as avg_attempts
  from public.job_queue group by job_type, status;
create view public.failed_jobs_recent as
  select id, job_type, payload, attempts, error_message, error_details, created_at from public.job_queue
  where status = 'failed' and created_at > now() - interval '1 day';
create view public.stuck_jobs as
  select id, job_type, started_at, attempts from public.job_queue
  where status = 'processing' and started_at < now() - interval '10 minutes';
grant select on public.queue_health, public.failed_jobs_recent, public.stuck_jobs to authenticated;

create function public.claim_next_job(p_job_types text[] default null) returns setof public.job_queue
language plpgsql security definer as $$
begin
  return query update public.job_queue q set status = 'processing', started_at = now(), attempts = q.attempts + 1
  where q.id = (select j.id from public.job_queue j
    where j.status = 'pending' and j.scheduled_at <= now() and (p_job_types is null or j.job_type = any (p_job_types))
    order by j.priority desc, j.scheduled_at limit 1 for update skip locked)
  returning q.*;
end
$$;
create function public.enqueue_job(
  p_job_type text, p_payload jsonb, p_priority int default 0, p_scheduled_at timestamptz default now(), p_max_attempts int default 3
) returns uuid language plpgsql security definer as $$
declare
  v_id uuid;
begin
  insert into public.job_queue (job_type, payload, priority, scheduled_at, max_attempts, created_by)
  values (p_job_type, p_payload, p_priority, p_scheduled_at, p_max_attempts, auth.uid()) returning id into v_id;
  return v_id;
end
$$;
create function public.complete_job(p_job_id uuid, p_error_message text default null, p_error_details jsonb default null)
returns void language plpgsql security definer as $$
begin
  update public.job_queue set status = case when p_error_message is null then 'completed' when attempts < max_attempts then 'pending' else 'failed' end,
    completed_at = now(), error_message = p_error_message, error_details = p_error_details
  where id = p_job_id;
end
$$;
comment on function public.complete_job is 'ends a job';
grant execute on function public.enqueue_job to authenticated;
