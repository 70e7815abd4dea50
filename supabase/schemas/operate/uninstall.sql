-- uninstall: takes process-jobs out of the database, and leaves the app as it was before: its queue in its old form and
-- its old functions.
--
-- A job_queue, image_generations and images of our own making are left with what lies in them, unless p_drop_tables. Of the schedule and the stored key nothing is left.
create or replace function process_jobs.uninstall(p_drop_tables boolean default false) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set check_function_bodies = off
set client_min_messages = warning
as $$
declare
  v_object record;
  v_statements text[] := array(select u.statement from process_jobs.undo u order by u.n desc);
begin
  perform public.unschedule_process_jobs();
  if to_regclass('vault.secrets') is not null then
    execute format('delete from %s where name = $1', to_regclass('vault.secrets')) using 'process_jobs_secret_key';
  end if;

  for v_object in
    select format('drop function %s', p.oid::regprocedure) as statement
    from pg_catalog.pg_proc p
    where p.oid = any (process_jobs.public_functions())
    union all
    select format('drop trigger %I on %s', t.tgname, t.tgrelid::regclass)
    from pg_catalog.pg_trigger t join pg_catalog.pg_proc p on p.oid = t.tgfoid
    where p.pronamespace = 'process_jobs'::regnamespace
    union all
    select format('drop index public.%I', c.relname)
    from pg_catalog.pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relname = any ('{job_queue_claim_order,job_queue_next_due,
      job_queue_woken,job_queue_lease_expiry,job_queue_failed,job_queue_unique_unfinished,job_queue_generation}')
    union all
    select format('drop table public.%I cascade', c.relname)
    from pg_catalog.pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relname in ('images', 'image_generations', 'job_queue')
      and p_drop_tables and obj_description(c.oid, 'pg_class') = 'made by process-jobs'
  loop
    execute v_object.statement;
  end loop;
  drop schema process_jobs cascade;
  drop table public.job_types;
  for v_object in select s.statement from unnest(v_statements) s (statement) loop
    execute v_object.statement;
  end loop;
end
$$;
