-- uninstall: removes process-jobs from the database and restores the app's former state: its queue in its old form and
-- its old functions.
--
-- The job_queue, image_generations, images and usage_ledger that process-jobs made stay with their rows, unless p_drop_tables. The
-- schedule and the stored key are removed. Refuses (2BP01) while an object of the app depends on one of process-jobs.
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
  v_dependents text;
begin
  -- What the app has made of ours since would go with it.
  select string_agg(distinct coalesce(format('view %s', c.oid::regclass), pg_describe_object(d.classid, d.objid, d.objsubid)), E'\n- ')
  into v_dependents
  from pg_catalog.pg_depend d
  cross join lateral pg_identify_object(d.classid, d.objid, d.objsubid) o
  left join pg_catalog.pg_rewrite r on d.classid = 'pg_catalog.pg_rewrite'::regclass and r.oid = d.objid
  left join pg_catalog.pg_class c on c.oid = r.ev_class
  where d.deptype = 'n' and coalesce(c.relnamespace::regnamespace::text, o.schema) is distinct from 'process_jobs'
    and o.type not in ('trigger', 'table constraint', 'default value', 'policy')
    and (d.refclassid, d.refobjid) in (
      select 'pg_catalog.pg_proc'::regclass::oid, p.oid from pg_catalog.pg_proc p
      where p.pronamespace = 'process_jobs'::regnamespace or p.oid = any (process_jobs.public_functions())
      union all
      select 'pg_catalog.pg_class'::regclass, t.oid from pg_catalog.pg_class t
      where t.relnamespace = 'process_jobs'::regnamespace
        or t.oid in ('public.job_types'::regclass, 'public.user_limits'::regclass, 'public.model_prices'::regclass,
          'public.project_budget'::regclass, to_regclass('public.generation_progress')));
  if v_dependents is not null then
    raise exception E'process-jobs cannot be taken out, for these depend on it:\n- %', v_dependents using errcode = '2BP01';
  end if;

  perform public.unschedule_process_jobs();
  set constraints process_jobs.ring_at_commit immediate;
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
    join pg_catalog.pg_index i on i.indexrelid = c.oid and i.indrelid = 'public.job_queue'::regclass
    where c.relname = 'job_queue_generation'
    union all
    select format('drop table public.%I cascade', c.relname)
    from pg_catalog.pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relname in ('images', 'image_generations', 'job_queue', 'usage_ledger')
      and p_drop_tables and obj_description(c.oid, 'pg_class') = 'made by process-jobs'
  loop
    execute v_object.statement;
  end loop;
  if obj_description(to_regclass('public.job_queue'), 'pg_class') = 'made by process-jobs' then
    alter table public.job_queue alter column id set default gen_random_uuid();
  end if;
  drop view if exists public.costs_by_user, public.costs_by_model;
  drop schema process_jobs cascade;
  drop table public.job_types, public.user_limits, public.model_prices, public.project_budget;
  drop table if exists public.generation_progress;
  for v_object in select s.statement from unnest(v_statements) s (statement) loop
    execute v_object.statement;
  end loop;
end
$$;
