-- image_generations: one row per requested picture; its status and progress follow the jobs (apply_image_job).
--
-- Ids are text by default, because payloads carry strings. width and height become those of the stored picture. Users
-- read their own rows if the schema auth exists. An existing table stays the app's, with its columns, which may be
-- uuid, its privileges and its policies, because an added policy could show more. The table's comment identifies
-- process-jobs' own table when the migrations run again.
do $$
begin
  if to_regclass('public.image_generations') is not null
    or exists (select from process_jobs.image_writers w where w.writes = 'generation')
  then
    return;
  end if;
  create table public.image_generations (
    id text primary key,
    user_id text not null,
    prompt text,
    negative_prompt text,
    model text,
    style text,
    width int,
    height int,
    steps int,
    guidance_scale double precision,
    status text not null default 'pending',
    progress smallint not null default 0,
    error_message text,
    generation_time_seconds double precision,
    replicate_prediction_id text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    completed_at timestamptz,
    constraint image_generations_id_is_safe check (id ~ '^[A-Za-z0-9_-]{1,128}$'),
    constraint image_generations_user_id_is_safe check (user_id ~ '^[A-Za-z0-9_-]{1,128}$'),
    constraint image_generations_status_is_known check (
      status in ('pending', 'queued', 'processing', 'downloading', 'completed', 'failed', 'cancelled')
    ),
    constraint image_generations_progress_is_percent check (progress between 0 and 100)
  );
  revoke all on public.image_generations from public, anon, authenticated, service_role;
  grant select on public.image_generations to authenticated;
  grant select, insert, update, delete on public.image_generations to service_role;
  alter table public.image_generations enable row level security;
  comment on table public.image_generations is 'made by process-jobs';
  create index on public.image_generations (user_id, created_at desc);
end
$$;

do $$
begin
  if obj_description(to_regclass('public.image_generations'), 'pg_class') is distinct from 'made by process-jobs' then
    return;
  elsif to_regprocedure('auth.uid()') is null then
    raise notice 'auth.uid() does not exist: users read image_generations through service_role only';
  else
    drop policy if exists "users read their own generations" on public.image_generations;
    create policy "users read their own generations" on public.image_generations
      for select to authenticated using (user_id::text = (select auth.uid())::text);
  end if;
end
$$;
