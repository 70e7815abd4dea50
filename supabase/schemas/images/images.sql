-- images: one row per stored picture, unique by generation and file name, so that a download that runs twice leaves one
-- row.
--
-- width, height (pixels), file_size (bytes) and format are those of the stored file. Users read their own rows if the
-- schema auth exists. An existing table stays the app's, as for image_generations.
do $$
declare
  v_id_type text := coalesce(process_jobs.column_type('public.image_generations', 'id'), 'text');
  v_user_id_type text := coalesce(process_jobs.column_type('public.image_generations', 'user_id'), 'text');
  v_references text := case
    when exists (
      select from pg_catalog.pg_index i
      join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
      where i.indrelid = to_regclass('public.image_generations') and i.indisunique and i.indimmediate and i.indnkeyatts = 1
        and i.indpred is null and a.attname = 'id')
    then 'references public.image_generations (id) on delete cascade'
  end;
begin
  if to_regclass('public.images') is not null
    or exists (select from process_jobs.image_writers w where w.writes = 'images')
  then
    return;
  end if;
  execute format(
    $q$
    create table public.images (
      id uuid primary key default gen_random_uuid(),
      generation_id %s not null %s,
      user_id %s not null,
      filename text not null,
      storage_path text not null,
      public_url text,
      file_size bigint,
      width int,
      height int,
      format text,
      prompt text,
      negative_prompt text,
      model text,
      created_at timestamptz not null default now()
    )
    $q$, v_id_type, v_references, v_user_id_type);
  revoke all on public.images from public, anon, authenticated, service_role;
  grant select on public.images to authenticated;
  grant select, insert, update, delete on public.images to service_role;
  alter table public.images enable row level security;
  comment on table public.images is 'made by process-jobs';
  create unique index on public.images (generation_id, filename);
  create index on public.images (user_id, created_at desc);
end
$$;

do $$
begin
  if obj_description(to_regclass('public.images'), 'pg_class') is distinct from 'made by process-jobs' then
    return;
  elsif to_regprocedure('auth.uid()') is null then
    raise notice 'auth.uid() does not exist: users read images through service_role only';
  else
    drop policy if exists "users read their own images" on public.images;
    create policy "users read their own images" on public.images
      for select to authenticated using (user_id::text = (select auth.uid())::text);
  end if;
end
$$;
