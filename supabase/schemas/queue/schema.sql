-- process_jobs: the private schema for internal functions and tables: no role of the API has access to it, and
-- PostgREST does not expose it.
--
-- The roles of the API are the three that Supabase provides. On plain Postgres the missing ones are created without
-- login. Roles belong to the whole cluster, and two databases may be migrated at once: the second finds the role made.
do $$
declare
  v_role record;
begin
  for v_role in
    select wanted.name, wanted.options
    from (values ('anon', 'nologin'), ('authenticated', 'nologin'), ('service_role', 'nologin bypassrls'))
      as wanted (name, options)
    where not exists (select from pg_catalog.pg_roles where rolname = wanted.name)
  loop
    begin
      execute format('create role %I %s', v_role.name, v_role.options);
    exception
      when duplicate_object or unique_violation then
        null;
    end;
  end loop;
end
$$;

do $$
begin
  if to_regnamespace('process_jobs') is not null and to_regclass('process_jobs.releases') is null then
    raise exception E'process-jobs cannot move in:\n- schema process_jobs: process-jobs has one of this name; rename yours'
      using errcode = '55000';
  end if;
end
$$;
create schema if not exists process_jobs;
revoke all on schema process_jobs from public, anon, authenticated, service_role;

-- releases: the versions that were installed here, and when.
create table if not exists process_jobs.releases (
  version text primary key,
  installed_at timestamptz not null default now()
);

-- undo: the statements that undo the installation's changes of an app's own objects, run last first (uninstall).
create table if not exists process_jobs.undo (
  n bigint primary key generated always as identity,
  statement text not null
);

-- The existing grants on process-jobs' objects: an upgrade keeps them (moved_in.sql).
create temp table process_jobs_granted on commit drop as
  select 'function' as kind, p.oid, coalesce(p.proacl, acldefault('f', p.proowner)) as acl
  from pg_catalog.pg_proc p
  where p.pronamespace = 'public'::regnamespace and exists (select from process_jobs.releases)
  union all
  select 'table', c.oid, coalesce(c.relacl, acldefault('r', c.relowner))
  from pg_catalog.pg_class c
  where c.oid in (to_regclass('public.job_types'), to_regclass('public.user_limits')) and exists (select from process_jobs.releases);
