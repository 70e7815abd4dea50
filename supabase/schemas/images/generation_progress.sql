-- generation_progress: status and progress of the generations of an app whose image_generations has no column for
-- progress, or that writes its generations itself (image_writers); written like that column (set_generation_status).
--
-- The status is ours, also where the table of the app takes another one (image_tables). Users read their own rows if the
-- schema auth exists. prune_jobs deletes rows of old generations.
do $$
begin
  if to_regclass('public.generation_progress') is null then
    create table public.generation_progress (
      user_id text not null,
      generation_id text not null,
      status text not null,
      progress smallint not null,
      updated_at timestamptz not null default now(),
      primary key (user_id, generation_id),
      constraint generation_progress_status_is_known check (
        status in ('queued', 'processing', 'downloading', 'completed', 'failed', 'cancelled')
      ),
      constraint generation_progress_is_percent check (progress between 0 and 100)
    );
    revoke all on public.generation_progress from public, anon, authenticated, service_role;
    grant select on public.generation_progress to authenticated, service_role;
    alter table public.generation_progress enable row level security;
    comment on table public.generation_progress is 'made by process-jobs';
  end if;
  if to_regprocedure('auth.uid()') is null then
    raise notice 'auth.uid() does not exist: users read generation_progress through service_role only';
  else
    drop policy if exists "users read the progress of their own generations" on public.generation_progress;
    create policy "users read the progress of their own generations" on public.generation_progress
      for select to authenticated using (user_id = (select auth.uid())::text);
  end if;
end
$$;
