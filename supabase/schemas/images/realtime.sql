-- What Realtime needs to tell users of their generations, where it is: a policy by which they receive their own topic
-- (tell_generation), and the rows in its publication: of image_generations where that table is process-jobs' own, else of
-- generation_progress. What an app has published, or has taken out since, stays so.
--
-- Realtime inserts a row of the topic that a client wants to join, and lets it in if the client's policies show that row.
-- So the policy looks at the row's topic, and a direct reader of the table sees no more than a client. There is none for
-- insert: users send nothing there.
do $$
begin
  if to_regclass('realtime.messages') is null or to_regprocedure('auth.uid()') is null then
    raise notice 'Realtime is not there: users see their generations by looking';
  elsif not exists (
    select from pg_catalog.pg_policy p
    where p.polrelid = to_regclass('realtime.messages') and p.polname = 'users receive their own process-jobs topic')
  then
    create policy "users receive their own process-jobs topic" on realtime.messages
      for select to authenticated using (extension = 'broadcast' and topic = 'process-jobs:' || (select auth.uid())::text);
    insert into process_jobs.undo (statement)
    values ('drop policy if exists "users receive their own process-jobs topic" on realtime.messages');
  end if;
exception
  when insufficient_privilege then
    raise notice 'realtime.messages takes no policy (%): users see their generations by looking', sqlerrm;
end
$$;

do $$
declare
  v_table constant text := case
    when obj_description(to_regclass('public.image_generations'), 'pg_class') = 'made by process-jobs' then 'image_generations'
    else 'generation_progress'
  end;
  v_undo constant text := format($q$
    do $u$
    begin
      if exists (
        select from pg_catalog.pg_publication_rel r join pg_catalog.pg_publication p on p.oid = r.prpubid
        where p.pubname = 'supabase_realtime' and r.prrelid = to_regclass('public.%1$I'))
      then
        alter publication supabase_realtime drop table public.%1$I;
      end if;
    end
    $u$
    $q$, v_table);
begin
  if not exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime') then
    raise notice 'there is no publication supabase_realtime: changes of % are not published', v_table;
  elsif not exists (select from process_jobs.undo u where u.statement = v_undo)
    and not exists (
      select from pg_catalog.pg_publication_tables t
      where t.pubname = 'supabase_realtime' and t.schemaname = 'public' and t.tablename = v_table)
  then
    execute format('alter publication supabase_realtime add table public.%I', v_table);
    insert into process_jobs.undo (statement) values (v_undo);
  end if;
exception
  when insufficient_privilege then
    raise notice 'the publication supabase_realtime takes no table (%): changes of % are not published', sqlerrm, v_table;
end
$$;
