-- process-jobs 0.1.0. Made by `cargo xtask migration` of supabase/schemas, where each part says what it does.
--
-- It fills an empty database, moves into an app that is there, and brings every earlier version up to date; a
-- second run changes nothing. To be run in one transaction, as `supabase db push` and `psql --single-transaction`
-- do: all of it or nothing.
do $$ begin perform set_config('process_jobs.installs', 'yes', true); end $$;
do $$
declare
  v_newer text;
begin
  if current_setting('process_jobs.installs', true) is distinct from 'yes' then
    raise exception 'process-jobs is installed in one transaction: psql --single-transaction' using errcode = '25000';
  end if;
  if to_regclass('process_jobs.releases') is not null then
    execute 'select r.version from process_jobs.releases r where string_to_array(r.version, ''.'')::int[] > string_to_array($1, ''.'')::int[]'
    into v_newer using '0.1.0';
  end if;
  if v_newer is not null then
    raise exception 'the database has process-jobs %, and this is 0.1.0', v_newer using errcode = '55000';
  end if;
end
$$;

-- ── queue/schema.sql ──

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

-- ── queue/column_type.sql ──

-- column_type: the type of a table's column; null if there is no such table or column.
create or replace function process_jobs.column_type(p_table text, p_column text) returns text
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select format_type(a.atttypid, a.atttypmod)
    from pg_catalog.pg_attribute a
    where a.attrelid = to_regclass(p_table) and a.attname = p_column and a.attnum > 0 and not a.attisdropped
  );
end
$$;

-- ── operate/version.sql ──

-- version: the newest release that was installed here; null if none was.
create or replace function process_jobs.version() returns text
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select r.version from process_jobs.releases r order by string_to_array(r.version, '.')::int[] desc limit 1
$$;

-- ── operate/user_functions.sql ──

-- user_functions: the functions of the interface that are for `authenticated`, the app's own users, and for nobody else.
create or replace function process_jobs.user_functions() returns oid[]
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select array_agg(s.function)
  from (
    select to_regprocedure('public.' || f.signature)::oid as function
    from unnest(array[
      'cancel_generation(text)', 'get_generation(text)', 'my_limits()', 'request_generation(text, text, jsonb)',
      'retry_generation(text)'
    ]) f (signature)
  ) s
  where s.function is not null
$$;

-- ── operate/public_functions.sql ──

-- public_functions: the existing functions of the interface, with those kept for callers from before the installation and
-- user_functions.
create or replace function process_jobs.public_functions() returns oid[]
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select process_jobs.user_functions() || array_agg(s.function)
  from (
    select to_regprocedure('public.' || f.signature)::oid as function
    from unnest(array[
      'cancel_job(uuid, uuid, jsonb)', 'change_priority(uuid, int)', 'claim_next_job(text[], int, int, jsonb, uuid)',
      'complete_job(uuid, jsonb, text, uuid, text, text, jsonb, jsonb)', 'complete_job(uuid, text, jsonb)',
      'complete_job(uuid, text, text)', 'enqueue_job(text, jsonb, int, int, timestamptz, text, text)',
      'enqueue_job(text, jsonb, int, timestamptz, int)', 'enqueue_job(text, jsonb, int, timestamptz)',
      'enqueue_job(text, jsonb, int, text, int)', 'enqueue_job(text, jsonb, int, text)',
      'enqueue_jobs(jsonb)',
      'exchange_jobs(jsonb, text[], int, uuid)', 'heartbeat_job(uuid, uuid, int, int)',
      'keep_model_schema(text, jsonb, boolean)', 'pause_job_type(text, text)', 'process_jobs_doctor()',
      'prune_jobs(timestamptz, int)', 'queue_metrics()', 'queue_stats()',
      'redrive_failed_jobs(text, timestamptz, int, int)', 'resume_job_type(text)', 'retry_job(uuid, int)',
      'report_progress(uuid, int, int)',
      'schedule_process_jobs(text, text, text, int)', 'seconds_until_next_job(text[])',
      'snooze_job(uuid, uuid, double precision, jsonb, int, boolean, text, jsonb)', 'unschedule_process_jobs()',
      'wake_job(uuid, jsonb, int, jsonb)'
    ]) f (signature)
  ) s
  where s.function is not null
$$;

-- ── operate/worker.sql ──

-- worker: the worker that drained the queue last, its description of itself (before_drain), and its job types; one row.
create table if not exists process_jobs.worker (
  only_row boolean primary key default true,
  said jsonb not null,
  job_types text[],
  seen_at timestamptz not null default now(),
  constraint worker_is_one_row check (only_row)
);

-- ── steps/0.1.0.sql ──

-- 0.1.0: moves into an app that has a queue of the scripts that process-jobs takes over from. They have two forms:
--
--   attempts, scheduled_at, error_details, created_by uuid; enqueue_job(…, p_priority, p_scheduled_at, p_max_attempts),
--   complete_job(p_job_id, p_error_message, p_error_details), claim_next_job(p_job_types)
--   attempt_number, result; enqueue_job(…, p_priority, p_max_attempts), complete_job(p_job_id, p_result, p_error),
--   claim_next_job()
--
-- The table is changed to process-jobs' form in place, so that its columns, views, policies, triggers, keys and grants
-- stay; process_jobs.undo keeps the statements that undo each change. If anything does not fit, the error lists
-- everything that does not, and nothing is changed.
do $$
declare
  v_table regclass := to_regclass('public.job_queue');
  v_refusals text[];
  v_column record;
  v_function record;
  v_trigger record;
  v_lost text[] := '{}';
  v_forms text[] := '{}';
  v_enable text[] := '{}';
  v_statement text;
  v_has_attempts boolean;
  v_is_ours boolean := obj_description(v_table, 'pg_class') is not distinct from 'made by process-jobs';
  v_search_path text := current_setting('search_path');
begin
  if exists (select from process_jobs.releases) then
    return;
  end if;

  -- Functions that have the names of ours: known are those of the scripts, by what callers see of them.
  create temp table theirs on commit drop as
    select p.oid, format('public.%I(%s)', p.proname, oidvectortypes(p.proargtypes)) as signature, known.form
    from pg_catalog.pg_proc p
    left join (values
      ('claim_next_job()', null, 'known'),
      ('claim_next_job(text[])', '{p_job_types}', 'known'),
      ('enqueue_job(text, jsonb, integer, integer)', '{p_job_type,p_payload,p_priority,p_max_attempts}', 'known'),
      ('enqueue_job(text, jsonb, integer, timestamp with time zone, integer)',
        '{p_job_type,p_payload,p_priority,p_scheduled_at,p_max_attempts}', 'scheduled_at first'),
      ('complete_job(uuid, jsonb, text)', '{p_job_id,p_result,p_error}', 'known'),
      ('complete_job(uuid, text, jsonb)', '{p_job_id,p_error_message,p_error_details}', 'error_message first')
    ) known (signature, names, form)
      on known.signature = format('%s(%s)', p.proname, oidvectortypes(p.proargtypes)) and p.prokind = 'f'
      and known.names is not distinct from nullif((coalesce(p.proargnames, '{}'))[1:p.pronargs], '{}')::text
      and case p.proname
        when 'claim_next_job' then p.proretset
        when 'enqueue_job' then p.prorettype = 'uuid'::regtype and not p.proretset
        else p.prorettype in ('void'::regtype, 'boolean'::regtype) and not p.proretset
      end
    where p.pronamespace = 'public'::regnamespace and p.proname = any ('{
      claim_next_job,complete_job,enqueue_job,enqueue_jobs,cancel_job,change_priority,exchange_jobs,heartbeat_job,
      keep_model_schema,pause_job_type,
      process_jobs_doctor,prune_jobs,queue_metrics,queue_stats,redrive_failed_jobs,report_progress,resume_job_type,retry_job,
      schedule_process_jobs,seconds_until_next_job,snooze_job,unschedule_process_jobs,wake_job,
      cancel_generation,get_generation,my_limits,request_generation,retry_generation}');

  v_refusals := array(
    select format('function %s: process-jobs has one of this name; rename yours or drop it', t.signature)
    from theirs t where t.form is null
    union all
    select format('function %s: %s depends on it, and process-jobs has one of this name; drop that first, and make it anew afterwards',
      t.signature, pg_describe_object(d.classid, d.objid, d.objsubid))
    from theirs t
    join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_proc'::regclass and d.refobjid = t.oid and d.deptype = 'n'
    where t.form is not null
    union all
    select format('%s public.%s: process-jobs has one of this name; rename yours',
      case c.relkind when 'r' then 'table' when 'i' then 'index' when 'v' then 'view' else 'relation' end, c.relname)
    from pg_catalog.pg_class c
    where c.relnamespace = 'public'::regnamespace and (
      c.relname in ('job_types', 'generation_progress', 'user_limits', 'model_prices', 'usage_ledger', 'project_budget', 'costs_by_user', 'costs_by_model')
        and obj_description(c.oid, 'pg_class') is distinct from 'made by process-jobs'
      or c.relname = 'job_queue_generation')
    union all
    select format('table public.%s: it belongs to %s, and %s may not change it', c.relname, pg_get_userbyid(c.relowner), current_user)
    from pg_catalog.pg_class c
    where c.oid in (v_table, to_regclass('public.image_generations')) and c.relkind = 'r'
      and not pg_has_role(current_user, c.relowner, 'usage'));
  if v_table is not null and not v_is_ours then
    v_refusals := v_refusals || array(
      select 'public.job_queue is no plain table' from pg_catalog.pg_class c where c.oid = v_table and c.relkind <> 'r'
      union all
      select format('public.job_queue: %s uses its row type, so that it cannot be changed; use a column of type jsonb instead',
        pg_describe_object('pg_catalog.pg_class'::regclass, a.attrelid, a.attnum))
      from pg_catalog.pg_attribute a
      join pg_catalog.pg_class c on c.oid = v_table and a.atttypid in (c.reltype, (select t.typarray from pg_catalog.pg_type t where t.oid = c.reltype))
      join pg_catalog.pg_class u on u.oid = a.attrelid and u.relkind in ('r', 'p', 'm')
      where not a.attisdropped
      union all
      select 'public.job_queue has no primary key or unique constraint on id alone: alter table public.job_queue add primary key (id)'
      where not exists (
        select from pg_catalog.pg_index i
        join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
        where i.indrelid = v_table and i.indisunique and i.indnkeyatts = 1 and i.indpred is null and a.attname = 'id')
      union all
      select case
          when a.attname is null then format('public.job_queue has no column %s %s', wanted.name, wanted.types[1])
          when wanted.types = '{}' then format('public.job_queue.%s: process-jobs has a column of this name; rename yours', wanted.name)
          else format('public.job_queue.%s is of type %s: alter table public.job_queue alter column %1$s type %3$s',
            wanted.name, format_type(a.atttypid, a.atttypmod), wanted.types[1])
        end
      from (values
        ('id', true, '{uuid}'::text[]), ('job_type', true, '{text,character varying}'), ('payload', true, '{jsonb}'),
        ('status', true, '{text,character varying}'), ('priority', false, '{integer}'), ('attempt_number', false, '{integer}'),
        ('attempts', false, '{integer}'), ('max_attempts', false, '{integer}'), ('result', false, '{jsonb}'),
        ('error_message', false, '{text}'), ('created_at', false, '{timestamp with time zone}'),
        ('updated_at', false, '{timestamp with time zone}'), ('completed_at', false, '{timestamp with time zone}'),
        ('scheduled_at', false, '{timestamp with time zone}'), ('started_at', false, '{timestamp with time zone}'),
        ('lease_token', false, '{uuid}'), ('lease_expires_at', false, '{timestamp with time zone}'),
        ('checkpoint', false, '{jsonb}'), ('progress', false, '{smallint}'), ('errors', false, '{jsonb}'),
        ('unique_key', false, '{text}'), ('created_by', false, '{text,uuid,character varying}'), ('life', false, '{integer}'),
        ('first_started_at', false, '{timestamp with time zone}'), ('event', false, '{jsonb}'),
        ('woken_at', false, '{timestamp with time zone}'), ('cancel_requested_at', false, '{timestamp with time zone}'),
        ('follow_ups', false, '{jsonb}'), ('moves', false, '{}'), ('notify_url', false, '{}'), ('notify_user', false, '{}')
      ) wanted (name, is_needed, types)
      left join pg_catalog.pg_attribute a
        on a.attrelid = v_table and a.attname = wanted.name and a.attnum > 0 and not a.attisdropped
      where case
          when a.attname is null then wanted.is_needed
          when wanted.name = 'status' and exists (select from pg_catalog.pg_type t where t.oid = a.atttypid and t.typtype = 'e') then false
          else format_type(a.atttypid, null) <> all (wanted.types)
        end
      union all
      select format('public.job_queue.status is of type %s, which lacks ''%s'': alter type %1$s add value ''%2$s''',
        format_type(a.atttypid, null), s.status)
      from pg_catalog.pg_attribute a
      join pg_catalog.pg_type t on t.oid = a.atttypid and t.typtype = 'e'
      cross join unnest('{pending,processing,completed,failed,cancelled}'::text[]) s (status)
      where a.attrelid = v_table and a.attname = 'status' and not exists (
        select from pg_catalog.pg_enum e where e.enumtypid = t.oid and e.enumlabel = s.status)
    );
    -- (A look that is no part of the condition: the column may be missing.)
    if v_refusals = '{}' then
      v_refusals := array(
        select 'public.job_queue has jobs of the type deliver-webhook, which is one of process-jobs: rename yours'
        from public.job_queue j where j.job_type = 'deliver-webhook' limit 1);
    end if;
    if v_refusals = '{}' and process_jobs.column_type('public.job_queue', 'unique_key') is not null then
      execute $q$
        select array_agg(format('public.job_queue.unique_key: two unfinished jobs of type %s have the key %L', d.job_type, left(d.unique_key, 100)))
        from (
          select j.job_type::text, j.unique_key from public.job_queue j
          where j.unique_key is not null and j.status::text in ('pending', 'processing')
          group by 1, 2 having count(*) > 1 limit 10
        ) d
      $q$ into v_refusals;
      v_refusals := coalesce(v_refusals, '{}');
    end if;
  end if;
  if v_refusals <> '{}' then
    raise exception E'process-jobs cannot move in:\n- %', (
      select string_agg(r.refusal, E'\n- ' order by r.refusal collate "C") from unnest(v_refusals) r (refusal)) using errcode = '55000';
  end if;

  -- So that definitions name every schema.
  perform set_config('search_path', 'pg_catalog, pg_temp', true);

  -- Functions: dropped, for two of a name would be ambiguous. Who called them by name or by position goes on.
  for v_function in select t.* from theirs t order by t.signature loop
    select v_lost || array_agg(format('%s could execute %s', r.role, v_function.signature) order by r.role) into v_lost
    from unnest('{anon,authenticated}'::text[]) r (role)
    where has_function_privilege(r.role, v_function.oid, 'execute');
    insert into process_jobs.undo (statement)
    select s.statement
    from (
      select 1 as n, 0::bigint as m, pg_get_functiondef(v_function.oid) as statement
      union all
      select 2, row_number() over (), format('revoke all on function %s from %s', v_function.signature, r.role)
      from (
        select 'public' as role
        union all
        select quote_ident(r.rolname) from pg_catalog.pg_roles r
        where r.oid in (
          select (aclexplode(d.defaclacl)).grantee from pg_catalog.pg_default_acl d where d.defaclobjtype = 'f')
      ) r
      union all
      select 3, a.m, format('grant execute on function %s to %s', v_function.signature,
        case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end)
      from pg_catalog.pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))
        with ordinality a (grantor, grantee, privilege, is_grantable, m)
      where p.oid = v_function.oid
      union all
      select 4, 0, format('comment on function %s is %L', v_function.signature, obj_description(v_function.oid, 'pg_proc'))
      where obj_description(v_function.oid, 'pg_proc') is not null
      union all
      select 5, 0, format('alter function %s owner to %I', v_function.signature, pg_get_userbyid(p.proowner))
      from pg_catalog.pg_proc p
      where p.oid = v_function.oid and pg_get_userbyid(p.proowner) <> current_user
    ) s
    order by s.n desc, s.m desc;
    execute 'drop function ' || v_function.signature;
    v_forms := v_forms || v_function.form;
  end loop;
  if v_lost <> '{}' then
    raise notice 'only service_role may call the queue now; before, %. To allow it again: grant execute on function public.enqueue_job(text, jsonb, int, int, timestamptz, text, text) to authenticated',
      array_to_string(v_lost, ', ');
  end if;

  perform set_config('search_path', v_search_path, true);
  if v_table is null or v_is_ours then
    return;
  end if;

  -- No trigger of the app's tells anybody of what changes here.
  for v_trigger in
    select t.tgname, t.tgenabled from pg_catalog.pg_trigger t
    where t.tgrelid = v_table and not t.tgisinternal and t.tgenabled <> 'D'
  loop
    execute format('alter table public.job_queue disable trigger %I', v_trigger.tgname);
    v_enable := v_enable || format('alter table public.job_queue enable %s trigger %I',
      case v_trigger.tgenabled when 'A' then 'always' when 'R' then 'replica' else '' end, v_trigger.tgname);
  end loop;

  v_has_attempts := process_jobs.column_type('public.job_queue', 'attempts') is not null;
  for v_column in
    select wanted.*
    from (values
      ('priority', 'int not null default 0'), ('attempt_number', 'int not null default 0'),
      ('max_attempts', 'int not null default 3'), ('result', 'jsonb'), ('error_message', 'text'),
      ('created_at', 'timestamptz not null default now()'), ('updated_at', 'timestamptz not null default now()'),
      ('completed_at', 'timestamptz'), ('scheduled_at', 'timestamptz not null default now()'), ('started_at', 'timestamptz'),
      ('lease_token', 'uuid'), ('lease_expires_at', 'timestamptz'), ('checkpoint', 'jsonb'), ('progress', 'smallint'),
      ('errors', $c$jsonb not null default '[]'$c$), ('unique_key', 'text'), ('created_by', 'text'),
      ('life', 'int not null default 1'), ('first_started_at', 'timestamptz'), ('event', 'jsonb'), ('woken_at', 'timestamptz'),
      ('cancel_requested_at', 'timestamptz'), ('follow_ups', 'jsonb'), ('moves', 'int not null default 0'),
      ('notify_url', 'text'), ('notify_user', 'text')
    ) wanted (name, definition)
    where process_jobs.column_type('public.job_queue', wanted.name) is null
  loop
    execute format('alter table public.job_queue add column %I %s', v_column.name, v_column.definition);
    insert into process_jobs.undo (statement) values (format('alter table public.job_queue drop column if exists %I', v_column.name));
  end loop;

  -- Rows. Workers of before held no leases and kept no bound on attempts; what they were at runs again.
  if v_has_attempts then
    update public.job_queue set attempt_number = greatest(attempt_number, attempts) where attempts > coalesce(attempt_number, 0);
  end if;
  update public.job_queue j
  set job_type = coalesce(j.job_type, 'unknown'), payload = coalesce(j.payload, '{}'), priority = coalesce(j.priority, 0),
    attempt_number = greatest(0, coalesce(j.attempt_number, 0)),
    max_attempts = greatest(1, coalesce(j.max_attempts, 3), j.attempt_number),
    created_at = case when isfinite(j.created_at) then j.created_at else now() end,
    updated_at = coalesce(j.updated_at, now()),
    scheduled_at = case when isfinite(j.scheduled_at) then j.scheduled_at when isfinite(j.created_at) then j.created_at else now() end,
    started_at = case when isfinite(j.started_at) then j.started_at end
  where num_nulls(j.job_type, j.payload, j.priority, j.attempt_number, j.max_attempts, j.created_at, j.updated_at, j.scheduled_at) > 0
    or j.attempt_number < 0 or j.max_attempts < greatest(1, j.attempt_number)
    or not isfinite(j.created_at) or not isfinite(j.scheduled_at) or not isfinite(j.started_at);
  update public.job_queue j
  set first_started_at = j.started_at
  where j.status = 'processing' or j.status = 'pending' and j.attempt_number > 0;
  update public.job_queue j
  set status = 'pending', attempt_number = greatest(1, j.attempt_number), max_attempts = greatest(j.max_attempts, 1),
    first_started_at = coalesce(j.started_at, j.created_at), started_at = null
  where j.status = 'processing';
  update public.job_queue j
  set status = 'failed', completed_at = coalesce(j.completed_at, j.updated_at),
    error_message = coalesce(j.error_message, format('it had the status %s before process-jobs', coalesce(quote_literal(j.status), 'null')))
  where j.status is null or j.status not in ('pending', 'processing', 'completed', 'failed', 'cancelled');
  update public.job_queue j
  set completed_at = j.updated_at
  where j.status in ('completed', 'failed', 'cancelled') and j.completed_at is null;
  if v_has_attempts then
    update public.job_queue set attempts = attempt_number where attempts is distinct from attempt_number;
  end if;

  for v_column in
    select a.attname, not a.atthasdef as lacks_default, wanted.default_value
    from (values ('job_type', null), ('payload', null), ('status', $c$'pending'$c$), ('priority', '0'), ('attempt_number', '0'),
      ('max_attempts', '3'), ('created_at', 'now()'), ('updated_at', 'now()'), ('scheduled_at', 'now()')
    ) wanted (name, default_value)
    join pg_catalog.pg_attribute a on a.attrelid = v_table and a.attname = wanted.name
    where not a.attnotnull
  loop
    execute format('alter table public.job_queue alter column %I set not null', v_column.attname);
    insert into process_jobs.undo (statement)
    values (format('alter table public.job_queue alter column %I drop not null', v_column.attname));
    if v_column.lacks_default and v_column.default_value is not null then
      execute format('alter table public.job_queue alter column %I set default %s', v_column.attname, v_column.default_value);
      insert into process_jobs.undo (statement)
      values (format('alter table public.job_queue alter column %I drop default', v_column.attname));
    end if;
  end loop;

  for v_column in
    select w.name, w.value
    from (values ('fillfactor', '50'), ('autovacuum_vacuum_scale_factor', '0.01'), ('autovacuum_vacuum_threshold', '1000'),
      ('autovacuum_analyze_scale_factor', '0.02')) w (name, value)
    where not exists (
      select from pg_catalog.pg_class c, unnest(c.reloptions) o (option)
      where c.oid = v_table and split_part(o.option, '=', 1) = w.name)
  loop
    execute format('alter table public.job_queue set (%s = %s)', v_column.name, v_column.value);
    insert into process_jobs.undo (statement) values (format('alter table public.job_queue reset (%s)', v_column.name));
  end loop;

  -- What an app's own workers and functions go on writing: attempts, and jobs at work without a lease. It comes before
  -- the app's triggers, which may read attempts.
  execute format(
    $q$
    create function process_jobs.keep_old_columns() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp
    as $f$
    begin
      %s
      new.max_attempts := greatest(new.max_attempts, new.attempt_number);
      if new.status = 'processing' and new.lease_token is null then
        new.lease_token := gen_random_uuid();
        -- Nobody takes back a job of a type that the app runs itself.
        new.lease_expires_at := now() + case
          when new.job_type in ('generate-image', 'download-image') then interval '10 minutes'
          else interval '10 years'
        end;
      end if;
      return new;
    end
    $f$
    $q$, case when v_has_attempts then $q$
      if tg_op = 'INSERT' then
        new.attempt_number := greatest(new.attempt_number, new.attempts, 0);
        new.attempts := new.attempt_number;
      elsif new.attempt_number is distinct from old.attempt_number then
        new.attempts := new.attempt_number;
      elsif new.attempts is distinct from old.attempts then
        new.attempt_number := greatest(new.attempts, 0);
      end if;$q$ end);
  create trigger "_process_jobs_keep_old_columns" before insert or update on public.job_queue
    for each row execute function process_jobs.keep_old_columns();

  foreach v_statement in array v_enable loop
    execute v_statement;
  end loop;
  perform set_config('process_jobs.places', 'to be filled', true);

  -- By position the older forms differ from ours; by name only complete_job's does.
  if 'scheduled_at first' = any (v_forms) then
    -- A literal without a type counts as text here.
    for v_column in select f.type, f.with_attempts from (values
      ('timestamptz', true), ('timestamptz', false), ('text', true), ('text', false)) f (type, with_attempts)
    loop
      execute format(
        'create function public.enqueue_job(text, jsonb, int, %s%s) returns uuid
        language plpgsql security definer set search_path = pg_catalog, pg_temp as %L',
        v_column.type, case when v_column.with_attempts then ', int' else '' end,
        format('begin return public.enqueue_job($1, $2, $3, %s, $4%s); end',
          case when v_column.with_attempts then '$5' else '3' end,
          case when v_column.type = 'text' then '::timestamptz' else '' end));
    end loop;
  end if;
  if 'error_message first' = any (v_forms) then
    create function public.complete_job(p_job_id uuid, p_error_message text, p_error_details jsonb default null) returns boolean
    language plpgsql security definer set search_path = pg_catalog, pg_temp
    as $f$
    begin
      if not public.complete_job(p_job_id => p_job_id, p_error => p_error_message) then
        return false;
      end if;
      update public.job_queue set error_details = p_error_details where id = p_job_id and p_error_details is not null;
      return true;
    end
    $f$;
    create function public.complete_job(uuid, text, text) returns boolean
    language plpgsql security definer set search_path = pg_catalog, pg_temp
    as 'begin return public.complete_job(p_job_id => $1, p_error_message => $2, p_error_details => $3::jsonb); end';
  end if;
  for v_function in
    select p.oid::regprocedure as signature from pg_catalog.pg_proc p
    where p.pronamespace = 'public'::regnamespace and p.proname in ('enqueue_job', 'complete_job')
  loop
    execute format('revoke execute on function %s from public, anon, authenticated', v_function.signature);
    execute format('grant execute on function %s to service_role', v_function.signature);
  end loop;
end
$$;

-- ── steps/0.1.0_call_function.sql ──

-- 0.1.0, for databases of its development: a claim tells which function a job's type names.
do $$
begin
  if exists (
    select from pg_catalog.pg_proc p
    where p.oid = to_regprocedure('public.claim_next_job(text[], int, int, jsonb, uuid)') and 'call_function' <> all (p.proargnames)
  ) then
    drop function public.claim_next_job(text[], int, int, jsonb, uuid);
  end if;
end
$$;

-- ── steps/0.1.0_places.sql ──

-- 0.1.0, for databases of its development: where a job stands is in narrow tables (places.sql) instead of six indexes of
-- job_queue, and rows are checked when they are made or changed by hand (keep_places). Jobs of every state get their places
-- at the end (moved_in.sql).
drop function if exists public.claim_next_job(text[], int, int, jsonb), public.exchange_jobs(jsonb, text[], int),
  public.enqueue_job(text, jsonb, int, int, timestamptz, text);

do $$
begin
  if exists (select from process_jobs.releases) and process_jobs.column_type('public.job_queue', 'notify_url') is null then
    alter table public.job_queue add column notify_url text, add column notify_user text;
    if obj_description('public.job_queue'::regclass, 'pg_class') is distinct from 'made by process-jobs' then
      insert into process_jobs.undo (statement) values
        ('alter table public.job_queue drop column if exists notify_url, drop column if exists notify_user');
    end if;
  end if;
end
$$;

do $$
begin
  if process_jobs.column_type('public.job_queue', 'delayed') is null then
    return;
  end if;
  drop view if exists process_jobs.kinds;
  drop trigger if exists process_jobs_keep_lease on public.job_queue;
  drop trigger if exists process_jobs_note_cancel on public.job_queue;
  drop trigger if exists process_jobs_keep_cancel_a_wish on public.job_queue;
  drop trigger if exists process_jobs_check_payload on public.job_queue;
  drop function if exists process_jobs.keep_lease_of_job_put_back(), process_jobs.note_cancel(), process_jobs.keep_cancel_a_wish();
  drop index if exists public.job_queue_claim_order, public.job_queue_next_due, public.job_queue_woken,
    public.job_queue_lease_expiry, public.job_queue_failed, public.job_queue_unique_unfinished, public.job_queue_generation;
  alter table public.job_queue
    drop constraint if exists job_queue_status_is_known, drop constraint if exists job_queue_processing_has_lease,
    drop constraint if exists job_queue_attempts_within_max, drop constraint if exists job_queue_progress_is_percent,
    drop constraint if exists job_queue_errors_is_array, drop constraint if exists job_queue_scheduled_at_finite,
    drop constraint if exists job_queue_times_are_finite, drop constraint if exists job_queue_unique_key_length,
    drop column begun, drop column delayed,
    add column moves int not null default 0;
  alter table if exists public.job_types
    add column priority_ages_seconds double precision,
    add constraint job_types_priority_ages_bounded check (priority_ages_seconds between 0.001 and 1000000);

  alter table public.job_queue set (fillfactor = 50);
  if obj_description('public.job_queue'::regclass, 'pg_class') is distinct from 'made by process-jobs' then
    insert into process_jobs.undo (statement)
    select unnest('{alter table public.job_queue drop column if exists moves,alter table public.job_queue reset (fillfactor)}'::text[]);
  end if;
  perform set_config('process_jobs.places', 'to be filled', true);
end
$$;

-- ── steps/0.1.0_progress.sql ──

-- 0.1.0, for databases of its development: generations have a progress.
drop function if exists process_jobs.set_generation_status(jsonb, text, text, text, boolean);

do $$
begin
  if obj_description(to_regclass('public.image_generations'), 'pg_class') is distinct from 'made by process-jobs'
    or process_jobs.column_type('public.image_generations', 'progress') is not null
  then
    return;
  end if;
  alter table public.image_generations
    add column progress smallint not null default 0,
    add constraint image_generations_progress_is_percent check (progress between 0 and 100);
  update public.image_generations set progress = 100 where status = 'completed';
end
$$;

-- ── steps/0.1.0_turns.sql ──

-- 0.1.0, for databases of its development: job types may have a fair_key.
do $$
begin
  if to_regclass('public.job_types') is null or process_jobs.column_type('public.job_types', 'fair_key') is not null then
    return;
  end if;
  alter table public.job_types
    add column fair_key text,
    add constraint job_types_fair_or_ageing check (fair_key is null or priority_ages_seconds is null);
  alter table if exists process_jobs.waiting_jobs alter column rank drop not null;
end
$$;

-- ── steps/0.1.0_usage.sql ──

-- 0.1.0, for databases of its development: outcomes and events carry what has ended outside (record_usage).
drop function if exists public.complete_job(uuid, jsonb, text, uuid, text, text, jsonb),
  public.snooze_job(uuid, uuid, double precision, jsonb, int, boolean, text), public.cancel_job(uuid, uuid),
  public.wake_job(uuid, jsonb, int);

-- ── policy/job_types.sql ──

-- job_types: one row per job type, with its policy and the state of its claims.
--
-- backoff_base_seconds, backoff_max_seconds  a job runs again base * 2^(attempt - 1) seconds after a failed
--                    attempt, at most max, which is 30 days at most, each ±25 %
-- lease_seconds      the time that a claim lasts without a heartbeat; below the 15 s that a worker may wait for another
--                    claim, it can end while its run goes on
-- starts_per_minute  the number of jobs that may begin per minute, 0.00001 to a million, null: no limit; a tenth of it,
--                    at least one, may begin at once, so that no minute sees more than 1.1 times as many. start_tokens
--                    of that tenth were left at start_tokens_at (available_starts)
-- priority_ages_seconds  after each so many seconds a waiting job counts as one priority higher; null: never, so that
--                    the highest priority always goes first. 0.001 to a million
-- fair_key           the key of the payload that names a job's owner, as 'user_id': of jobs of one priority each owner's go
--                    in turns with the others'; null: in the order in which they were made. Not beside
--                    priority_ages_seconds: a turn is no time
-- notify_url         the address that is told of the end of each job that names none itself: an operator's, http or https;
--                    a job gets it when it is enqueued by enqueue_job, enqueue_jobs or as a follow-up
-- paused_at          a *paused* type waits for resume_job_type; its jobs that have begun continue
-- held_until         no job of the type begins before this time
-- begun_held_until   no job of the type that has begun continues before this time, except a woken one
-- call_function      the Edge Function of this project that does the work, by its name; null: a handler of the worker's own
-- call_timeout_seconds  the time of one attempt of such a function, from its call to the job's end; null: JOB_TIMEOUT_MS
-- handler            what a worker must have to claim the type's jobs: the type, or 'call_function'. What a worker asks for
--                    as its job types are these, so that one that cannot call functions never gets a job of theirs
--
-- A job *has begun* when it has a checkpoint. enqueue_job and claim_next_job accept only types with a row here.
create table if not exists public.job_types (
  job_type text primary key,
  backoff_base_seconds double precision not null default 5,
  backoff_max_seconds double precision not null default 600,
  lease_seconds int not null default 60,
  starts_per_minute double precision,
  start_tokens double precision,
  start_tokens_at timestamptz,
  paused_at timestamptz,
  paused_reason text,
  held_until timestamptz,
  begun_held_until timestamptz,
  priority_ages_seconds double precision,
  fair_key text,
  constraint job_types_backoff_is_positive check (
    backoff_base_seconds > 0 and backoff_max_seconds >= backoff_base_seconds
  ),
  constraint job_types_backoff_is_bounded check (backoff_max_seconds <= 2592000),
  constraint job_types_lease_is_positive check (lease_seconds between 1 and 86400),
  -- What no claim can reckon with would stop those of every type.
  constraint job_types_starts_are_bounded check (
    starts_per_minute between 0.00001 and 1000000
    and start_tokens between -1000000 and 1000000
    and start_tokens_at between '1970-01-01 00:00:00+00' and '9999-12-31 00:00:00+00'
  ),
  constraint job_types_priority_ages_bounded check (priority_ages_seconds between 0.001 and 1000000),
  constraint job_types_fair_or_ageing check (fair_key is null or priority_ages_seconds is null),
  constraint job_types_times_are_finite check (
    isfinite(paused_at) is not false and isfinite(held_until) is not false and isfinite(begun_held_until) is not false
  ),
  constraint job_types_paused_has_reason check ((paused_at is null) = (paused_reason is null))
);

alter table public.job_types
  add column if not exists notify_url text
    constraint job_types_notify_url_is_http check (notify_url ~* '^https?://[a-z0-9._:\[\]-]+([/?#]|$)' and length(notify_url) <= 2048),
  add column if not exists call_function text
    constraint job_types_call_function_is_a_name check (call_function ~ '^[A-Za-z][A-Za-z0-9_-]{0,99}$')
    constraint job_types_call_function_is_another check (call_function <> 'process-jobs'),
  add column if not exists call_timeout_seconds int
    constraint job_types_call_timeout_is_bounded check (call_timeout_seconds between 1 and 2592000),
  add column if not exists handler text not null
    -- A row a type is rewritten in a moment.
    -- squawk-ignore adding-field-with-default
    generated always as (case when call_function is null then job_type else 'call_function' end) stored;

alter table public.job_types enable row level security;
revoke all on public.job_types from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.job_types to service_role;

-- ── queue/new_job_id.sql ──

-- new_job_id: a UUID of version 7 (RFC 9562: 48 bits of milliseconds, 12 of a millisecond's fraction, 62 random ones).
-- Jobs of one statement are claimed in the order in which they were made, and lie side by side in each index.
--
-- (Written as an expression, it is parsed once and becomes part of the statement that uses it.)
create or replace function process_jobs.new_job_id() returns uuid
language sql
volatile
return (
  overlay(lpad(to_hex((date_part('epoch', clock_timestamp()) * 4096000)::bigint), 15, '0') placing '7' from 13 for 0)
  || substring(gen_random_uuid()::text from 20)
)::uuid;

-- ── queue/job_queue.sql ──

-- job_queue: every job, waiting, running and ended.
--
-- A parked or retrying job is `pending` with a later scheduled_at.
--
-- life                 1, plus one for each retry_job
-- started_at           first claim of this life; null again while it waits without having begun
-- first_started_at     first claim of all lives
-- checkpoint           the state for the next run; a job that has one has begun
-- event, woken_at      the last event of wake_job; the time of wake_job or cancel_job, until the next claim
-- moves                raised with each change by the functions that give a job its place themselves (places.sql)
-- follow_ups           of a job that failed because its completion was refused: the follow-ups of that completion
-- notify_url           the address that is told of the job's end (notify_end); notify_user: the user who has given it
-- cancel_requested_at  the time of cancel_job for a job that must end something first
--
-- No index has a column that changes in a job's life, and no constraint is checked with each change: where a job stands is
-- in narrow tables of their own (places.sql), and a trigger checks what is written by hand (check_job).
--
-- An app's existing table of that name is brought to this form by steps/0.1.0.sql; its privileges, policies and row
-- level security stay the app's.
do $$
begin
  if to_regclass('public.job_queue') is not null then
    return;
  end if;
  create table public.job_queue (
    id uuid primary key default process_jobs.new_job_id(),
    job_type text not null,
    payload jsonb not null default '{}',
    status text not null default 'pending',
    priority int not null default 0,
    attempt_number int not null default 0,
    max_attempts int not null default 3,
    result jsonb,
    error_message text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    completed_at timestamptz,
    scheduled_at timestamptz not null default now(),
    started_at timestamptz,
    lease_token uuid,
    lease_expires_at timestamptz,
    checkpoint jsonb,
    progress smallint,
    errors jsonb not null default '[]',
    unique_key text,
    created_by text,
    life int not null default 1,
    first_started_at timestamptz,
    event jsonb,
    woken_at timestamptz,
    cancel_requested_at timestamptz,
    follow_ups jsonb,
    moves int not null default 0,
    notify_url text,
    notify_user text
  )
  -- Each claim and each settle leaves a dead row in the page's free half, where the next take their room again: jobs of
  -- one insert lie together, and are claimed together. What remains would by default be cleared when it is a fifth of the
  -- table, finished jobs included.
  with (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.02
  );
  alter table public.job_queue enable row level security;
  revoke all on public.job_queue from public, anon, authenticated, service_role;
  grant select, insert, update, delete on public.job_queue to service_role;
  comment on table public.job_queue is 'made by process-jobs';
end
$$;

-- ── queue/job_troubles.sql ──

-- job_troubles: the obstacles of a job; all but those of kind settle are retried automatically.
--
-- kind      claim   the database refuses to let it be claimed or taken back: claims skip it until retry_at
--           effect  a trigger of process-jobs that follows it failed: retry_job_troubles repeats it at retry_at
--           cancel  it is to be cancelled but locked: retry_job_troubles cancels it at retry_at
--           notify  nobody could be notified of its end (notify_end): retry_job_troubles repeats it at retry_at
--           settle  its run's outcome under lease_token could not be recorded; for the message when that lease ends
-- message   the database's words
-- tries     the number of tries in a row
create table if not exists process_jobs.job_troubles (
  job_id uuid not null,
  kind text not null,
  message text not null,
  lease_token uuid,
  tries int not null default 1,
  since timestamptz not null default now(),
  retry_at timestamptz not null,
  primary key (job_id, kind),
  constraint job_troubles_kind_is_known check (kind in ('claim', 'effect', 'cancel', 'settle', 'notify'))
);
create index if not exists job_troubles_retry_at on process_jobs.job_troubles (retry_at);

-- ── queue/places.sql ──

-- The places of jobs: narrow tables that say where each job stands, so that job_queue has no index on what changes in a
-- job's life, and its updates are HOT.
--
-- ready_jobs       pending and due: found in the claim's order by (job_type, lane, rank, created_at, id)
-- waiting_jobs     pending, and not due before due_at. A claim moves those that have fallen due to ready_jobs
-- leases           one row a claim: its token, its jobs, and a time before which none of their leases ends. A row is
--                  passed over while its jobs run, and looked at when its time has come (sweep_leases)
-- failed_jobs      the failed ones, by when they failed
-- unfinished_keys  the unique keys of unfinished jobs, and while jobs are inserted those reserved for them, some without id
-- marks            of a lane in which a claim had to pass over many entries that were gone already: before (rank,
--                  created_at, id) there was none, so claims begin there until look_at (raise_marks, lower_marks)
-- time_marks       the same of waiting_jobs and leases, by their times
-- turns            of a type with a fair_key, by priority and owner: the last turn that was given, and how many with it.
--                  The owner is a hash of what the payload has under that key
--
-- lane  0: has not begun, 1: has begun, 2: has begun and was woken
-- rings  true of the one job for which its transaction rings (ring_at_commit)
-- rank  the lower, the sooner. -priority; where the type has priority_ages_seconds, the microsecond of created_at less
--       priority times as many; in lane 0 of a type that has a fair_key, -priority * 2^31 and the job's turn: 0 for one that
--       comes back, else as place_in_turn has given it, and null while it waits
--
-- claim_jobs, settle_jobs and take_back_jobs move jobs from one place to another and raise job_queue.moves with it;
-- after any other change of rows the triggers of keep_places.sql do. Whoever changes the places of a job has its row locked
-- (a claim that moves what has fallen due has the entry locked instead, and waits for no row).
create table if not exists process_jobs.ready_jobs (
  id uuid primary key,
  job_type text collate "C" not null,
  lane smallint not null,
  rings boolean not null default false,
  rank bigint not null,
  created_at timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.02);
alter table process_jobs.ready_jobs add column if not exists rings boolean not null default false;
create index if not exists ready_jobs_order on process_jobs.ready_jobs (job_type, lane, rank, created_at, id);

create table if not exists process_jobs.waiting_jobs (
  id uuid primary key,
  job_type text collate "C" not null,
  lane smallint not null,
  due_at timestamptz not null,
  rank bigint,
  created_at timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.02);
create index if not exists waiting_jobs_due on process_jobs.waiting_jobs (due_at);
-- (With the id, which no other index has in an order, so that no statistics make another one look as good.)
create index if not exists waiting_jobs_order on process_jobs.waiting_jobs (job_type, lane, due_at, id);

create table if not exists process_jobs.leases (
  token uuid primary key,
  expires_at timestamptz not null,
  jobs uuid[] not null
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.02);
create index if not exists leases_expire on process_jobs.leases (expires_at);

create table if not exists process_jobs.failed_jobs (
  id uuid primary key,
  job_type text collate "C" not null,
  failed_at timestamptz
);
create index if not exists failed_jobs_order on process_jobs.failed_jobs (failed_at);

create table if not exists process_jobs.unfinished_keys (
  job_type text collate "C" not null,
  unique_key text collate "C" not null,
  id uuid,
  constraint job_queue_unique_unfinished primary key (job_type, unique_key)
);

create table if not exists process_jobs.marks (
  job_type text collate "C" not null,
  lane smallint not null,
  rank bigint not null,
  created_at timestamptz not null,
  id uuid not null,
  look_at timestamptz not null,
  primary key (job_type, lane)
);

create table if not exists process_jobs.time_marks (
  place text primary key,
  begins_at timestamptz not null,
  look_at timestamptz not null
);

create table if not exists process_jobs.turns (
  job_type text collate "C" not null,
  priority int not null,
  owner bigint not null,
  turn bigint not null,
  jobs bigint not null,
  primary key (job_type, priority, owner)
);
-- (Of all rows, but told so that no plan takes it for the key.)
create index if not exists turns_last on process_jobs.turns (job_type, priority, turn) where turn > 0;

-- begins: before these times waiting_jobs and leases have had nothing lately.
create or replace view process_jobs.begins as
select
  coalesce((select m.begins_at from process_jobs.time_marks m where m.place = 'leases' and m.look_at > now()), '-infinity')
    as leases,
  coalesce((select m.begins_at from process_jobs.time_marks m where m.place = 'waiting_jobs' and m.look_at > now()), '-infinity')
    as waiting_jobs;

-- places: where each pending job belongs.
create or replace view process_jobs.places as
select j.id, j.job_type::text collate "C" as job_type,
  case when j.checkpoint is null then 0 when j.woken_at is null then 1 else 2 end::smallint as lane,
  case
    when t.fair_key is not null and j.checkpoint is null then
      case
        when j.first_started_at is null or j.life > 1 and j.started_at is null then null
        else -j.priority::bigint << 31
      end
    when t.priority_ages_seconds is null then -j.priority::bigint
    else (extract(epoch from j.created_at) * 1000000 - j.priority * t.priority_ages_seconds * 1000000)::bigint
  end as rank,
  j.created_at, j.scheduled_at as due_at, t.fair_key is not null and j.checkpoint is null as is_fair, j.priority
from public.job_queue j
left join public.job_types t on t.job_type = j.job_type
where j.status = 'pending';

-- jobs_at_work: the jobs under a lease.
create or replace view process_jobs.jobs_at_work as
select j.id, j.job_type, j.lease_expires_at
from process_jobs.leases l
cross join lateral unnest(l.jobs) at_work (id)
join public.job_queue j on j.id = at_work.id
where j.status = 'processing' and j.lease_token = l.token;

-- lost_jobs: the jobs at work whose lease has expired, but for those that the database refused to take back a moment ago.
create or replace view process_jobs.lost_jobs as
select lost.id, lost.lease_expires_at
from process_jobs.leases l
cross join lateral (
  select j.id, j.lease_expires_at
  from public.job_queue j
  where j.id = any (l.jobs) and j.status = 'processing' and j.lease_token = l.token and j.lease_expires_at <= now()
    and not exists (
      select from process_jobs.job_troubles b where b.job_id = j.id and b.kind = 'claim' and b.retry_at > now())
  offset 0
) lost
where l.expires_at <= now() and l.expires_at >= (select b.leases from process_jobs.begins b);

-- ── images/image_tables.sql ──

-- image_tables: the findings of look_at_image_tables about the image tables; one row.
--
-- shape     the tables' shape at that time (image_tables_shape)
-- statuses  {"cancelled": "failed", …}: the status written instead of one that the table does not accept. "model": models
--           are written by their names alone; "progress": the table has a column for it that takes 0 to 100
-- tried     false: they could not be tried yet (no user, or a lock), or need not be (the app writes both)
-- refusal   why no picture can be recorded, and what to do; null: pictures can be recorded
create table if not exists process_jobs.image_tables (
  only_row boolean primary key default true,
  shape text not null,
  statuses jsonb not null default '{}',
  tried boolean not null,
  refusal text,
  looked_at timestamptz not null default now(),
  constraint image_tables_is_one_row check (only_row)
);

-- image_writers: the app's own functions that write instead of process-jobs. The app names them here; no upgrade
-- changes this table.
--
-- writes         'generation': function(p_payload jsonb, p_generation jsonb {status, error_message,
--                replicate_prediction_id}), called whenever a generation's status changes
--                'images': function(p_payload jsonb, p_images jsonb), called when a generation's pictures are stored, with
--                [{filename, storage_path, public_url, file_size, width, height, format}]
-- function_name  schema and name, as 'app.write_generation'
--
-- Both may be called twice with the same arguments and must give the same result. An error that they raise is a
-- refusal.
create table if not exists process_jobs.image_writers (
  writes text primary key,
  function_name text not null,
  constraint image_writers_writes_is_known check (writes in ('generation', 'images'))
);

-- ── images/image_generations.sql ──

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

-- ── images/images.sql ──

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

-- ── costs/model_prices.sql ──

-- model_prices: what a model costs, in US dollars, one row a model; the operator's to edit. No upgrade changes a row.
--
-- model       as Replicate names it, `owner/name`, without a version
-- per_second  for each second that a prediction ran, whatever its end
-- per_image   for each picture that a prediction gave
-- as_of       when it was read
-- source      where it was read
--
-- A price counts for what is recorded from then on (record_usage).
do $$
begin
  if to_regclass('public.model_prices') is not null then
    return;
  end if;
  create table public.model_prices (
    model text primary key,
    per_second numeric,
    per_image numeric,
    as_of date not null default current_date,
    source text,
    constraint model_prices_model_is_a_name check (model ~ '^[^:A-Z]{1,200}$'),
    -- NaN counts as greater than every number.
    constraint model_prices_per_second_bounded check (per_second between 0 and 1000),
    constraint model_prices_per_image_bounded check (per_image between 0 and 1000)
  );
  revoke all on public.model_prices from public, anon, authenticated, service_role;
  grant select, insert, update, delete on public.model_prices to service_role;
  alter table public.model_prices enable row level security;
end
$$;

-- What Replicate publishes on its page of prices, read in a copy of that date. Of other models the price is on the model's own page, and is for the
-- operator to enter.
insert into public.model_prices (model, per_image, as_of, source)
values
  ('black-forest-labs/flux-schnell', 0.003, '2026-10-07', 'https://replicate.com/pricing, by a copy'),
  ('black-forest-labs/flux-dev', 0.025, '2026-10-07', 'https://replicate.com/pricing, by a copy'),
  ('black-forest-labs/flux-1.1-pro', 0.04, '2026-10-07', 'https://replicate.com/pricing, by a copy'),
  ('ideogram-ai/ideogram-v3-quality', 0.09, '2026-10-07', 'https://replicate.com/pricing, by a copy')
on conflict (model) do nothing;

-- ── costs/usage_ledger.sql ──

-- usage_ledger: one row per prediction that has ended, whoever saw its end first. Rows are only ever inserted, by
-- record_usage.
--
-- id               the prediction's, so that nothing is counted twice
-- job_id, user_id  the job that made it, and the user of that job's payload
-- model            `owner/name`; null: Replicate did not say
-- status           how it ended: succeeded, failed, canceled, aborted (never started)
-- predict_seconds  the model's own time; null: Replicate did not say
-- images           how many it gave; null: Replicate has removed them before anybody looked
-- cost             in US dollars by model_prices as they were then; null: no price was known
-- created_at       when it was recorded; the month in which it counts is this one's, in UTC
--
-- Users read their own rows if the schema auth exists. The table stays when process-jobs is taken out.
do $$
begin
  if to_regclass('public.usage_ledger') is not null then
    return;
  end if;
  create table public.usage_ledger (
    id text primary key,
    job_id uuid not null,
    user_id text,
    model text,
    status text not null,
    predict_seconds double precision,
    images int,
    cost numeric,
    created_at timestamptz not null default now(),
    constraint usage_ledger_status_is_known check (status in ('succeeded', 'failed', 'canceled', 'aborted'))
  );
  revoke all on public.usage_ledger from public, anon, authenticated, service_role;
  grant select on public.usage_ledger to authenticated, service_role;
  alter table public.usage_ledger enable row level security;
  comment on table public.usage_ledger is 'made by process-jobs';
  create index usage_ledger_of_user on public.usage_ledger (user_id, created_at) include (cost);
  create index usage_ledger_by_time on public.usage_ledger (created_at) include (cost);
end
$$;

do $$
begin
  if to_regprocedure('auth.uid()') is null then
    raise notice 'auth.uid() does not exist: users read usage_ledger through service_role only';
  else
    drop policy if exists "users read their own usage" on public.usage_ledger;
    create policy "users read their own usage" on public.usage_ledger
      for select to authenticated using (user_id = (select auth.uid())::text);
  end if;
end
$$;

-- ── costs/project_budget.sql ──

-- project_budget: what all users together may cost in a month (UTC); one row, the operator's to edit.
--
-- max_cost_per_month  in US dollars; null: no budget
-- over_budget         what becomes of a user's request over it: 'refuse' (default), or 'park': it waits with the type
-- look_again_at       when it is looked at next (look_at_budget)
do $$
begin
  if to_regclass('public.project_budget') is not null then
    return;
  end if;
  create table public.project_budget (
    only_row boolean primary key default true,
    max_cost_per_month numeric,
    over_budget text not null default 'refuse',
    look_again_at timestamptz not null default now(),
    constraint project_budget_is_one_row check (only_row),
    -- NaN counts as greater than every number.
    constraint project_budget_max_cost_bounded check (max_cost_per_month between 0 and 1000000000),
    constraint project_budget_over_budget_is_known check (over_budget in ('refuse', 'park'))
  );
  insert into public.project_budget default values;
  revoke all on public.project_budget from public, anon, authenticated, service_role;
  grant select, update on public.project_budget to service_role;
  alter table public.project_budget enable row level security;
end
$$;

-- ── users/user_limits.sql ──

-- user_limits: what the app's users may ask for; an operator edits it, and without a row nobody may ask for anything.
--
-- applies_to          'all'; 'plan:<name>': users whose token has app_metadata.plan <name>; 'user:<id>': one user
-- allowed_models      model ids, each as a request must give it
-- max_pixels          width x height asked for; a side that is not asked for counts as 1024
-- max_outputs         num_outputs; 1 where it is not asked for
-- max_priority        a request's priority; where no row sets it: 0
-- max_open            generations of a user under way at once
-- max_per_day         requests and retries of a user in 24 hours
-- max_cost_per_month  in US dollars, and over_budget what follows: 'refuse' or 'park'
--
-- Of each column the most specific row that sets it counts: the user's, then the plan's, then that of all. Null
-- everywhere: no limit.
create table if not exists public.user_limits (
  applies_to text primary key,
  allowed_models text[],
  max_pixels bigint,
  max_outputs int,
  max_priority int,
  max_open int,
  max_per_day int,
  max_cost_per_month numeric,
  over_budget text,
  constraint user_limits_applies_to_all_a_plan_or_a_user check (applies_to = 'all' or applies_to ~ '^(plan|user):.'),
  constraint user_limits_are_not_negative check (
    least(max_pixels, max_outputs, max_open, max_per_day, max_cost_per_month) >= 0
  ),
  constraint user_limits_over_budget_is_known check (over_budget in ('refuse', 'park'))
);

alter table public.user_limits enable row level security;
revoke all on public.user_limits from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.user_limits to service_role;

-- ── users/requests.sql ──

-- requests: what users have asked for, one row a request_generation or retry_generation.
--
-- idempotency_key  the caller's; the same key with the same request_hash is the same request
-- ended_at         when the generation was seen to have ended; null: its jobs tell whether it has (open_generations)
--
-- Whether a generation has ended is read of its jobs, and kept here once it has, so that the settle that ends it has
-- nothing to write, and a job that was deleted by whatever means does not count for ever. prune_jobs deletes old rows.
create table if not exists process_jobs.requests (
  n bigint primary key generated always as identity,
  user_id text not null,
  generation_id text not null,
  idempotency_key text,
  request_hash bytea,
  created_at timestamptz not null default now(),
  ended_at timestamptz
);
create unique index if not exists requests_key on process_jobs.requests (user_id, idempotency_key)
  where idempotency_key is not null;
create index if not exists requests_of_user on process_jobs.requests (user_id, created_at);
create index if not exists requests_open on process_jobs.requests (user_id) where ended_at is null;
create index if not exists requests_of_generation on process_jobs.requests (generation_id);

-- ── queue/backoff.sql ──

-- backoff: the time until a job whose attempt has failed runs again (job_types); for settle_jobs.
create or replace function process_jobs.backoff(p_job_type text, p_attempt int) returns interval
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce((
    select make_interval(secs => (0.75 + 0.5 * random()) *
      least(t.backoff_max_seconds, t.backoff_base_seconds * power(2, least(greatest(0, p_attempt - 1), 60))))
    from public.job_types t
    where t.job_type = p_job_type), '0');
end
$$;

-- ── queue/caller.sql ──

-- caller: who enqueues, for created_by: the token's `sub`, else its `role`, else the database's session user; in an
-- app's own job_queue `sub` only.
create or replace function process_jobs.caller() returns text
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_claims jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
begin
  return case
    when v_claims ->> 'sub' is not null then v_claims ->> 'sub'
    -- An app's own column holds users, and may be a key of theirs. (obj_description is planned in each call.)
    when exists (
      select from pg_description d
      where d.objoid = 'public.job_queue'::regclass and d.classoid = 'pg_class'::regclass and d.objsubid = 0
        and d.description = 'made by process-jobs'
    ) then coalesce(v_claims ->> 'role', session_user)
  end;
end
$$;

-- ── queue/cancel_job.sql ──

-- cancel_job: ends a job that is not wanted any more; true: cancelled or being cancelled, false: it is final already,
-- does not exist, or is not the caller's.
--
-- pending, never at work              -> cancelled
-- pending, parked or retrying         -> stays pending, due now (put back by hand: when its lease is over), with
--                                        cancel_requested_at: a worker ends what the job has begun, then the job
-- processing                          -> continues, with cancel_requested_at; its run's end is `cancelled`; if the run
--                                        parks the job, a worker ends what the job has begun
-- processing, with p_lease_token      -> cancelled: the worker reports that nothing runs outside
--
-- A job with a cancel request counts as begun, so that a pause of its type does not stop it. If a worker fails to end
-- it, it is retried as after any error; after the last attempt it is cancelled all the same.
--
-- p_usage, which goes with a p_lease_token, is as for complete_job.
create or replace function public.cancel_job(p_job_id uuid, p_lease_token uuid default null, p_usage jsonb default null) returns boolean
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty. (No = beside the id, which
-- would let a planner use a partial index.)
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  if p_lease_token is not null then
    return p_job_id is not null and process_jobs.settle_one(jsonb_build_object(
      'outcome', 'cancelled', 'job_id', p_job_id, 'lease_token', p_lease_token)
      || case when p_usage is null then '{}' else jsonb_build_object('usage', p_usage) end);
  end if;

  update public.job_queue j
  set status = 'cancelled', event = null, lease_token = null, lease_expires_at = null,
    completed_at = now(), updated_at = now()
  where j.id = p_job_id and j.status is not distinct from 'pending' and j.attempt_number = 0 and j.checkpoint is null;
  if found then
    return true;
  end if;

  update public.job_queue j
  set cancel_requested_at = coalesce(j.cancel_requested_at, now()),
    checkpoint = coalesce(j.checkpoint, '{}'),
    scheduled_at = case
      when j.status = 'pending' then least(j.scheduled_at, greatest(now(), j.lease_expires_at))
      else j.scheduled_at
    end,
    woken_at = now(), updated_at = now()
  where j.id = p_job_id and j.status in ('pending', 'processing');
  return found;
end
$$;

revoke execute on function public.cancel_job(uuid, uuid, jsonb) from public, anon, authenticated;
grant execute on function public.cancel_job(uuid, uuid, jsonb) to service_role;

-- ── queue/change_priority.sql ──

-- change_priority: gives a pending job another priority; true: changed, false: it is not pending any more, or does not exist.
--
-- Its place moves with it; of a type with a fair_key it gets its owner's next turn there. Refuses (22023) null.
create or replace function public.change_priority(p_job_id uuid, p_priority int) returns boolean
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  if p_priority is null then
    raise exception 'p_priority must be a number, not null' using errcode = '22023';
  end if;
  update public.job_queue j
  set priority = p_priority, updated_at = now()
  where j.id = p_job_id and j.status is not distinct from 'pending';
  return found;
end
$$;

revoke execute on function public.change_priority(uuid, int) from public, anon, authenticated;
grant execute on function public.change_priority(uuid, int) to service_role;

-- ── queue/check_job.sql ──

-- check_job: refuses (23514) a row of job_queue that no claim could reckon with; for keep_places and
-- place_inserted. Returns true. What the queue's own functions write is in order.
create or replace function process_jobs.check_job(p_job public.job_queue) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_refusal text := case
    when p_job.status not in ('pending', 'processing', 'completed', 'failed', 'cancelled') then 'status_is_known'
    when p_job.status = 'processing' and (p_job.lease_token is null or p_job.lease_expires_at is null) then 'processing_has_lease'
    when p_job.attempt_number not between 0 and p_job.max_attempts or p_job.max_attempts < 1 then 'attempts_within_max'
    when p_job.progress not between 0 and 100 then 'progress_is_percent'
    when jsonb_typeof(p_job.errors) <> 'array' then 'errors_is_array'
    when not isfinite(p_job.scheduled_at) then 'scheduled_at_finite'
    when not isfinite(p_job.created_at) or not isfinite(p_job.started_at) or not isfinite(p_job.first_started_at)
      or not isfinite(p_job.lease_expires_at) then 'times_are_finite'
    when length(p_job.unique_key) not between 1 and 200 then 'unique_key_length'
  end;
begin
  if v_refusal is not null then
    v_refusal := 'job_queue_' || v_refusal;
    raise exception 'new row for relation "job_queue" violates check constraint "%"', v_refusal
      using errcode = '23514', table = 'job_queue', constraint = v_refusal;
  end if;
  return true;
end
$$;

-- ── queue/check_job_payload.sql ──

-- check_job_payload: trigger on job_queue; accepts only payloads that a worker can read, whoever writes them.
--
-- A payload that a worker cannot read would spoil the claim of the other jobs in its batch. Refuses (22023) anything
-- but a json object, and whatever json_refusal refuses. Existing rows are not checked, nor are rows that a restore
-- inserts, whose times are not of now: one from before this trigger would fail the whole COPY.
create or replace function process_jobs.check_job_payload() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_refusal text := process_jobs.json_refusal('payload', new.payload);
begin
  if tg_op = 'INSERT' and new.created_at <> now() and new.updated_at <> now() then
    return null;
  end if;
  if new.payload is null or jsonb_typeof(new.payload) <> 'object' then
    raise exception 'payload must be a json object, not %', coalesce(jsonb_typeof(new.payload), 'null')
      using errcode = '22023';
  elsif v_refusal is not null then
    raise exception '%', v_refusal using errcode = '22023';
  end if;
  return null;
end
$$;

create or replace trigger process_jobs_check_payload
  after insert or update of payload on public.job_queue
  for each row
  -- (What is shorter json_refusal never refuses.)
  when (jsonb_typeof(new.payload) is distinct from 'object' or octet_length(new.payload::text) > 200)
  execute function process_jobs.check_job_payload();

-- ── queue/check_outcomes.sql ──

-- check_outcomes: refuses (22023) outcomes of which one is out of the bounds of its function's arguments; for settle_jobs.
create or replace function process_jobs.check_outcomes(p_outcomes jsonb) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_refusal text;
begin
  if jsonb_path_exists(p_outcomes, '$[*] ? (@.type() != "object")') then
    raise exception 'p_outcomes must hold json objects' using errcode = '22023';
  end if;
  select min(case
      when o.job_id is null or o.lease_token is null then 'job_id and lease_token must not be null'
      when o.outcome is null or o.outcome not in ('completed', 'failed', 'snoozed', 'cancelled') then
        format('outcome must be completed, failed, snoozed or cancelled, not %s',
          coalesce(quote_literal(o.outcome), 'null'))
      when jsonb_typeof(o.follow_ups) <> 'array' then
        format('p_follow_ups must be a json array, not %s', jsonb_typeof(o.follow_ups))
      when o.outcome = 'failed' and coalesce(o.error, '') = '' then 'p_error must not be empty'
      when o.retry not in ('backoff', 'never') then
        format('p_retry must be ''backoff'' or ''never'', not %L', o.retry)
      -- NaN counts as greater than every number.
      when o.outcome = 'snoozed' and (o.delay_seconds between 0 and 2592000) is not true then
        format('p_delay_seconds must be between 0 and 2592000, not %s', coalesce(o.delay_seconds::text, 'null'))
      when o.progress not between 0 and 100 then
        format('p_progress must be between 0 and 100, not %s', o.progress)
      when o.outcome = 'snoozed' then process_jobs.json_refusal('p_checkpoint', o.checkpoint)
    end)
  into v_refusal
  from jsonb_to_recordset(p_outcomes) o (
    outcome text, job_id uuid, lease_token uuid, follow_ups jsonb, error text, retry text, delay_seconds double precision,
    checkpoint jsonb, progress int);
  if v_refusal is not null then
    raise exception '%', v_refusal using errcode = '22023';
  end if;
end
$$;

-- ── queue/claim_jobs.sql ──

-- claim_jobs: the work of claim_next_job, for it and for exchange_jobs.
--
-- p_lease_token  of the claim: if there is such a lease, the answer to that claim was lost, and its jobs are answered again
-- p_has_chores   has_chores' answer
-- p_waits        true: it may wait for the turn. A caller that holds locks already must not wait: the jobs that need the
--                turn are left to the next claim
--
-- Returns the ids of the claimed jobs, in the claim's order; each as the json object that exchange_jobs answers; and
-- seconds_until_next, if there were fewer than p_limit. The caller's settings leave the planner one plan (exchange_jobs).
create or replace function process_jobs.claim_jobs(
  p_job_types text[],
  p_limit int,
  p_lease_seconds int,
  p_lease_token uuid,
  p_has_chores boolean,
  p_waits boolean,
  out ids uuid[],
  out jobs text[],
  out seconds_until_next double precision
)
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- For the rows that follow a job: a claim does not wait long for whoever has locked them.
set lock_timeout = '20ms'
as $$
declare
  v_window int;
  v_is_again boolean := false;
  v_calls boolean := true;
  v_counted text[];
  v_ready constant oid := 'process_jobs.ready_jobs'::regclass;
  v_order constant oid := 'process_jobs.ready_jobs_order'::regclass;
  v_read bigint;
  v_walked bigint;
  v_deleted bigint;
  v_picked uuid[];
  -- No more fits into an answer of PostgREST.
  v_max_bytes constant int := 8388608;
  v_bytes bigint;
  -- Of all that is picked; null: they differ.
  v_lease_seconds int;
  v_token constant uuid := coalesce(p_lease_token, gen_random_uuid());
  v_part uuid[];
  v_claimed uuid[];
  v_part_jobs text[];
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    raise exception 'p_limit must be between 1 and 1000, not %', coalesce(p_limit::text, 'null') using errcode = '22023';
  end if;
  if p_lease_seconds not between 1 and 86400 then
    raise exception 'p_lease_seconds must be between 1 and 86400, not %', p_lease_seconds using errcode = '22023';
  end if;
  v_window := 4 * p_limit + 4;
  ids := '{}';
  jobs := '{}';
  -- So that what an app checks at the end of a transaction is refused for one job, and not for all.
  set constraints all immediate;

  if p_has_chores then
    v_counted := process_jobs.do_chores(p_job_types, p_limit, p_waits);
  end if;

  if p_lease_token is not null then
    -- While that claim is still under way, this one waits, and then fails.
    perform pg_advisory_xact_lock(hashtextextended(p_lease_token::text, 0));
    select array_agg(locked.id) into v_picked
    from process_jobs.leases l
    cross join lateral unnest(l.jobs) at_work (id)
    cross join lateral (
      select j.id from public.job_queue j
      where j.id = at_work.id and j.status is not distinct from 'processing' and j.lease_token = p_lease_token
      for update skip locked
    ) locked
    where l.token = p_lease_token;
    v_is_again := v_picked is not null;
  end if;

  while not v_is_again loop
    v_read := pg_stat_get_xact_tuples_returned(v_order);
    v_walked := v_read + 50 * (pg_stat_get_xact_blocks_fetched(v_order) - 5 * pg_stat_get_xact_numscans(v_order));
    -- Of each lane that is open, the first in order, merged: what may not be claimed is never looked at. What has
    -- ended outside, as the job was told (lane 2), goes before all else, and waits for no hold: its output does not
    -- stay for ever. Locked one by one up to the limit, so that no row is locked that is not claimed; the lock looks
    -- again whether a row is still ready. (Where a row changes in this very moment, its next version is waited for in
    -- spite of `skip locked`: whoever holds that for long leaves the next claim more.)
    begin
      select array_agg(picked.id), sum(picked.bytes), bool_or(picked.is_called),
        case when min(picked.lease_seconds) = max(picked.lease_seconds) then min(picked.lease_seconds) end
      into v_picked, v_bytes, v_calls, v_lease_seconds
      from (
        select locked.id, locked.bytes, first.is_called, first.lease_seconds
        from (
          select r.id, l.is_called, l.lease_seconds
          from process_jobs.lanes l
          cross join lateral (
            select r.id, r.rank, r.created_at
            from process_jobs.ready_jobs r
            where r.job_type = l.job_type collate "C" and r.lane = l.lane
              and (r.rank, r.created_at, r.id) >= (l.from_rank, l.from_created_at, l.from_id)
            order by r.rank, r.created_at, r.id
            limit case
              when l.starts_per_minute is null then v_window
              when l.job_type = any (v_counted) then least(v_window, greatest(0, floor(l.available_starts)))::bigint
              else 0
            end
          ) r
          where (p_job_types is null or l.handler = any (p_job_types)) and l.is_open
          order by l.lane = 2 desc,
            case
              when l.is_fair then -(r.rank >> 31)
              when l.priority_ages_seconds is null then -r.rank
              else (extract(epoch from now()) * 1000000 - r.rank) / (l.priority_ages_seconds * 1000000)
            end desc,
            -- (Of a lane with turns all are as old as its first, or they would be taken by age.)
            case
              when l.is_fair then (
                select r.created_at
                from process_jobs.ready_jobs r
                where r.job_type = l.job_type collate "C" and r.lane = l.lane
                  and (r.rank, r.created_at, r.id) >= (l.from_rank, l.from_created_at, l.from_id)
                order by r.rank, r.created_at, r.id
                limit 1)
              else r.created_at
            end,
            r.rank, r.created_at, r.id
        ) first
        cross join lateral (
          select j.id,
            pg_column_size(j.payload) + coalesce(pg_column_size(j.checkpoint), 0) + coalesce(pg_column_size(j.event), 0) as bytes
          from public.job_queue j
          where j.id = first.id and j.status is not distinct from 'pending' and j.scheduled_at <= now()
            and j.id not in (select b.job_id from process_jobs.job_troubles b where b.kind = 'claim' and b.retry_at > now())
          for update skip locked
        ) locked
        limit p_limit
      ) picked;
    exception
      when lock_not_available then
        return;
    end;
    v_read := pg_stat_get_xact_tuples_returned(v_order) - v_read;
    -- Entries passed over that are gone, a page of them counted as fifty: vacuum has not come yet, or cannot.
    v_walked := pg_stat_get_xact_tuples_returned(v_order)
      + 50 * (pg_stat_get_xact_blocks_fetched(v_order) - 5 * pg_stat_get_xact_numscans(v_order)) - v_walked;
    if v_walked > 1000 then
      perform process_jobs.raise_marks(p_job_types);
    end if;
    -- Where others hold all that was looked at, there may be more. A few that are left are enough: to look past what is
    -- locked costs more than to come again. (Whether an entry that was read is gone is not known where vacuum has been:
    -- then it is looked at in the index only.)
    exit when v_picked is not null or v_read < v_window;
    v_window := v_window * 8;
  end loop;

  -- All at once; only where that is refused, one by one. (Compressed, text is up to 255 times as short.)
  if v_bytes > v_max_bytes / 255 then
    v_picked := process_jobs.jobs_that_fit(v_picked, v_max_bytes);
  end if;
  for v_n in 0 .. coalesce(cardinality(v_picked), 0) loop
    v_part := case when v_n = 0 then v_picked else v_picked[v_n:v_n] end;
    exit when v_part is null;
    begin
      v_deleted := pg_stat_get_xact_tuples_deleted(v_ready);
      with claimed as (
        update public.job_queue j
        set status = 'processing',
          attempt_number = j.attempt_number + case when v_is_again then 0 else 1 end,
          max_attempts = greatest(j.max_attempts, j.attempt_number + case when v_is_again then 0 else 1 end),
          lease_token = v_token,
          lease_expires_at = now() + make_interval(secs => coalesce(
            p_lease_seconds, v_lease_seconds,
            (select t.lease_seconds from public.job_types t where t.job_type = j.job_type))),
          started_at = coalesce(j.started_at, now()),
          first_started_at = coalesce(j.first_started_at, now()),
          woken_at = null,
          updated_at = now(),
          moves = j.moves + 1
        where j.id = any (v_part)
        -- (json_build_object would look the type of each value up, in each row.)
        returning j.id, j.status, j.lease_expires_at, concat(
          '{"id":"', j.id, '","job_type":', to_json(j.job_type::text), ',"payload":', j.payload, ',"priority":', j.priority,
          ',"attempt_number":', j.attempt_number, ',"max_attempts":', j.max_attempts, ',"life":', j.life,
          ',"checkpoint":', coalesce(j.checkpoint, 'null'), ',"event":', coalesce(j.event, 'null'),
          ',"cancel_requested":', case when j.cancel_requested_at is null then 'false' else 'true' end,
          ',"lease_token":"', j.lease_token, '","lease_seconds":', extract(epoch from j.lease_expires_at - now())::int,
          ',"age_seconds":', extract(epoch from now() - j.started_at)::double precision,
          ',"search_from":', to_json(greatest(j.first_started_at, now() - interval '2 hours') - interval '1 minute'), '}'
        ) as job
      ), gone as (
        delete from process_jobs.ready_jobs r where r.id = any (v_part)
      ), leased as (
        insert into process_jobs.leases as l (token, expires_at, jobs)
        values (v_token, (select coalesce(min(c.lease_expires_at), now()) from claimed c), v_part)
        on conflict (token) do update
        set expires_at = least(l.expires_at, excluded.expires_at),
          jobs = case when excluded.jobs <@ l.jobs then l.jobs else l.jobs || excluded.jobs end
      )
      select array_agg(c.id), array_agg(c.job) into v_claimed, v_part_jobs
      from claimed c where c.status = 'processing';
      if coalesce(cardinality(v_claimed), 0) < cardinality(v_part) then
        raise exception 'a trigger of job_queue lets its row be as it is' using errcode = 'P0001';
      end if;
      if v_claimed <> v_part then
        v_part_jobs := array(
          select v_part_jobs[array_position(v_claimed, p.id)] from unnest(v_part) with ordinality p (id, n) order by p.n);
      end if;
      if pg_stat_get_xact_tuples_deleted(v_ready) - v_deleted < cardinality(v_part) then
        -- They have moved since they were looked at.
        delete from process_jobs.waiting_jobs w where w.id = any (v_part);
        delete from process_jobs.ready_jobs r where r.id = any (v_part);
      end if;
      ids := ids || v_part;
      jobs := jobs || v_part_jobs;
      exit when v_n = 0;
    exception
      when others then
        if process_jobs.is_server_state(sqlstate) then
          raise;
        elsif v_n > 0 then
          perform process_jobs.note_job_trouble(v_part[1], 'claim', 'it cannot be claimed: ' || sqlerrm);
        end if;
    end;
  end loop;

  -- What is called is told here, where it costs other claims nothing.
  if v_calls then
    jobs := array(
      select case when t.call_function is null then c.job else concat(left(c.job, -1), ',"call_function":"', t.call_function,
        '","call_timeout_seconds":', coalesce(t.call_timeout_seconds::text, 'null'), '}') end
      from unnest(ids, jobs) with ordinality c (id, job, n)
      join public.job_queue j on j.id = c.id
      left join public.job_types t on t.job_type = j.job_type
      order by c.n);
  end if;
  if v_counted is not null and ids <> '{}' and not v_is_again then
    update public.job_types t
    set start_tokens = process_jobs.available_starts(t) - begun.jobs, start_tokens_at = now()
    from (
      select j.job_type, count(*) as jobs
      from public.job_queue j
      where j.id = any (ids) and j.checkpoint is null
      group by j.job_type
    ) begun
    where t.job_type = begun.job_type and t.starts_per_minute is not null;
  end if;
  if cardinality(ids) < p_limit then
    seconds_until_next := public.seconds_until_next_job(p_job_types);
  end if;
end
$$;

-- ── queue/claim_next_job.sql ──

-- claim_next_job: gives a worker up to p_limit jobs under a lease, whose token is needed to settle them.
--
-- processing, lease expired, attempts left   -> pending, ready now, one entry more in errors
-- processing, lease expired, attempts spent  -> failed, or cancelled if that was requested
-- pending and due, of an open type           -> processing, attempt_number + 1, the claim's lease_token
--
-- Order: first the jobs that have begun and were woken, then by highest priority, oldest, id. p_job_types null: every
-- type with a row in job_types; 'call_function' in it stands for the types whose row names a function. p_lease_seconds
-- null: the type's lease_seconds. Of a paused or held type only jobs that have begun are claimed, and if those are held,
-- only woken ones; of a type with starts_per_minute no more begin than that allows. One call claims at most 8 MiB of
-- payloads, checkpoints and events, but at least one job.
--
-- Jobs that another transaction has locked are skipped, so workers never get the same job. They wait for one another
-- only if starts are counted, leases have expired or troubles are retried: those claims take turns, by a lock that they
-- take before any other. For a row that follows a job, such as an image's generation, they wait 20 ms. A job that the
-- database refuses is skipped for a while (job_troubles), and the others are claimed.
-- A job put back by hand after its last attempt gets one attempt more, and max_attempts rises with it. One call takes
-- back at most 100 expired leases.
--
-- Values for the worker besides the columns: cancel_requested; lease_seconds; age_seconds since started_at, by the
-- database's clock; search_from, before which the job did nothing outside: a minute before its very first claim, because
-- clocks differ, and at most two hours and a minute ago; and call_function and call_timeout_seconds of its type.
--
-- seconds_until_next, the same in each row, is that of seconds_until_next_job if fewer jobs than p_limit came.
--
-- p_worker  {"version", "needs", "webhooks", "bucket"}, with the first call of a drain: describes the worker, which
--           before_drain checks
-- p_lease_token  a fresh one for the claim, made by the caller (null: by the database). A claim whose answer was lost is
--           asked for again by its token: it answers the jobs that it has under its lease, which is then renewed, or if it
--           was not carried out, claims. While it is still under way that is an error (55P03)
--
-- Refuses (22023) p_limit outside 1 to 1000 and p_lease_seconds outside 1 to 86400, and whatever before_drain refuses.

create or replace function public.claim_next_job(
  p_job_types text[] default null,
  p_limit int default 1,
  p_lease_seconds int default null,
  p_worker jsonb default null,
  p_lease_token uuid default null
) returns table (
  id uuid, job_type text, payload jsonb, status text, priority int, attempt_number int, max_attempts int,
  life int, checkpoint jsonb, event jsonb, cancel_requested boolean, lease_token uuid, lease_expires_at timestamptz,
  lease_seconds int, created_at timestamptz, started_at timestamptz, age_seconds double precision,
  search_from timestamptz, seconds_until_next double precision, call_function text, call_timeout_seconds int
)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set enable_sort = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_ids uuid[];
  v_next double precision;
begin
  if p_worker is not null then
    perform process_jobs.before_drain(p_worker, p_job_types);
  end if;
  select c.ids, c.seconds_until_next into v_ids, v_next
  from process_jobs.claim_jobs(p_job_types, p_limit, p_lease_seconds, p_lease_token, process_jobs.has_chores(p_job_types), true) c;
  return query
  select c.id, c.job_type::text, c.payload, c.status::text, c.priority, c.attempt_number, c.max_attempts,
    c.life, c.checkpoint, c.event, c.cancel_requested_at is not null, c.lease_token, c.lease_expires_at,
    extract(epoch from c.lease_expires_at - now())::int, c.created_at, c.started_at,
    extract(epoch from now() - c.started_at)::double precision,
    greatest(c.first_started_at, now() - interval '2 hours') - interval '1 minute', v_next,
    t.call_function, t.call_timeout_seconds
  from public.job_queue c
  left join public.job_types t on t.job_type = c.job_type
  where c.id = any (v_ids)
  order by array_position(v_ids, c.id);
end
$$;

revoke execute on function public.claim_next_job(text[], int, int, jsonb, uuid) from public, anon, authenticated;
grant execute on function public.claim_next_job(text[], int, int, jsonb, uuid) to service_role;

-- ── queue/clear_places.sql ──

-- clear_places: trigger on job_queue: after a truncate there are no places either.
create or replace function process_jobs.clear_places() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  set constraints process_jobs.ring_at_commit immediate;
  set constraints process_jobs.ring_at_commit deferred;
  truncate process_jobs.ready_jobs, process_jobs.waiting_jobs, process_jobs.leases, process_jobs.failed_jobs,
    process_jobs.unfinished_keys, process_jobs.marks, process_jobs.time_marks, process_jobs.turns;
  return null;
end
$$;
create or replace trigger process_jobs_clear_places
  after truncate on public.job_queue
  for each statement execute function process_jobs.clear_places();

-- ── queue/complete_job.sql ──

-- complete_job: settles a claimed job for good or for another attempt; true: recorded, false: the job is not the
-- caller's any more, is final already, or does not exist, and nothing changed.
--
-- no p_error                                   -> completed with p_result, p_follow_ups enqueued with it
-- p_error, p_retry 'backoff', attempts left    -> pending after the type's backoff, one entry more in errors
-- p_error, p_retry 'never' or attempts spent   -> failed, one entry more in errors
--
-- If cancel_job was called meanwhile, both ends are `cancelled` instead, without result and follow-ups. A job that ends
-- keeps neither its event nor its lease.
--
-- p_lease_token  the claim's; valid while nobody else has claimed the job, also after an operator has put it back to
--                pending by hand. null, as before leases: any job that is processing, or that a called function has
--                answered with 202 (its attempt ends here)
-- p_error_kind   a word for the entry in errors, default 'error'
-- p_follow_ups   [{job_type, payload, priority?, max_attempts?, scheduled_at?, unique_key?}]
-- p_usage        [{id, status, model?, predict_seconds?, images?}] for usage_ledger, recorded whatever the answer is
--
-- p_error and its entry in errors are cut to 2000 characters. Refuses (22023) an unknown p_retry, an
-- empty p_error, p_error together with p_result or follow-ups, and follow-ups that enqueue_job would refuse.

create or replace function public.complete_job(
  p_job_id uuid,
  p_result jsonb default null,
  p_error text default null,
  p_lease_token uuid default null,
  p_retry text default 'backoff',
  p_error_kind text default null,
  p_follow_ups jsonb default '[]',
  p_usage jsonb default null
) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs, for the row that it locks itself.
set lock_timeout = '300ms'
-- Look up by key, whatever the statistics say: they may be from when the table was empty. (No = beside the id, which
-- would let a planner use a partial index.)
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_lease_token uuid := p_lease_token;
begin
  if p_retry is null then
    raise exception 'p_retry must be ''backoff'' or ''never'', not null' using errcode = '22023';
  end if;
  if p_error is not null and (p_result is not null or p_follow_ups <> '[]') then
    raise exception 'p_error goes with neither p_result nor p_follow_ups' using errcode = '22023';
  end if;
  if p_job_id is null then
    return false;
  end if;
  if v_lease_token is null then
    select j.lease_token into v_lease_token
    from public.job_queue j
    where j.id = p_job_id and j.status is not distinct from 'processing'
    for update;
    if v_lease_token is null then
      v_lease_token := gen_random_uuid(); -- of no claim
      update public.job_queue j
      set lease_token = v_lease_token, attempt_number = least(j.attempt_number + 1, j.max_attempts)
      where j.id = p_job_id and j.status is not distinct from 'pending' and j.checkpoint is not null
        and exists (select from public.job_types t where t.job_type = j.job_type and t.call_function is not null);
    end if;
  end if;
  return process_jobs.settle_one(jsonb_build_object(
    'outcome', case when p_error is null then 'completed' else 'failed' end,
    'job_id', p_job_id, 'lease_token', v_lease_token, 'result', p_result, 'follow_ups', p_follow_ups,
    'error', p_error, 'error_kind', p_error_kind, 'retry', p_retry)
    || case when p_usage is null then '{}' else jsonb_build_object('usage', p_usage) end);
end
$$;

revoke execute on function public.complete_job(uuid, jsonb, text, uuid, text, text, jsonb, jsonb) from public, anon, authenticated;
grant execute on function public.complete_job(uuid, jsonb, text, uuid, text, text, jsonb, jsonb) to service_role;

-- ── queue/counts_starts.sql ──

-- counts_starts: whether one of these types has starts_per_minute and a job that may begin; for has_chores and needs_turn.
create or replace function process_jobs.counts_starts(p_job_types text[]) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  return exists (
    select from process_jobs.lanes l
    where (p_job_types is null or l.handler = any (p_job_types))
      -- (Case and offset: only such lanes are looked into, and only at their first job.)
      and case
        when l.starts_per_minute is null or not l.is_open then false
        else exists (
            select from process_jobs.ready_jobs r
            where r.job_type = l.job_type collate "C" and r.lane = l.lane
              and (r.rank, r.created_at, r.id) >= (l.from_rank, l.from_created_at, l.from_id)
            offset 0)
          or exists (
            select from process_jobs.begins b, process_jobs.waiting_jobs w
            where w.job_type = l.job_type collate "C" and w.lane = l.lane
              and w.due_at <= now() and w.due_at >= b.waiting_jobs
            offset 0)
      end);
end
$$;

-- ── queue/do_chores.sql ──

-- do_chores: does what has_chores has found, and returns the types with starts_per_minute whose starts this claim may
-- count; null: none, for another has the turn or its rows.
--
-- The turn comes before any lock of a job. p_waits false: it is not waited for, for the caller holds some already. What
-- another session has locked is left to a later claim.
create or replace function process_jobs.do_chores(p_job_types text[], p_limit int, p_waits boolean) returns text[]
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '20ms'
as $$
declare
  v_needs_turn boolean := process_jobs.needs_turn(p_job_types);
  v_is_troubled boolean := exists (
    select from process_jobs.job_troubles b
    where b.retry_at <= now() and (b.kind in ('effect', 'cancel', 'notify') or b.retry_at <= now() - interval '10 minutes'));
  v_has_turn boolean := false;
  v_counted text[];
begin
  if v_needs_turn or v_is_troubled and p_waits then
    v_has_turn := process_jobs.take_turn(p_waits);
  end if;
  -- Each by itself: where a row changes in this very moment, its next version is waited for in spite of `skip locked`.
  if v_is_troubled then
    begin
      perform process_jobs.retry_job_troubles();
    exception
      when lock_not_available then
        null;
    end;
  end if;
  if v_needs_turn and v_has_turn then
    begin
      -- A type whose row somebody has begins nothing now.
      select array_agg(counted.job_type) into v_counted
      from (
        select t.job_type from public.job_types t where t.starts_per_minute is not null for update skip locked
      ) counted;
    exception
      when lock_not_available then
        null;
    end;
    perform process_jobs.take_back_jobs();
  end if;
  begin
    perform process_jobs.sweep_leases();
    perform process_jobs.promote_jobs(greatest(200, 2 * p_limit));
  exception
    when lock_not_available then
      null;
  end;
  return v_counted;
end
$$;

-- ── queue/enqueue_follow_ups.sql ──

-- enqueue_follow_ups: enqueues a completed job's follow-ups through insert_job, with the same created_by and notify_url;
-- only for settle_jobs and retry_job.
--
-- p_follow_ups is a json array of {job_type, payload, priority?, max_attempts?, scheduled_at?, unique_key?,
-- waiting_since?}. A follow-up has at least its parent's priority. waiting_since decides its place among jobs of equal
-- priority: the work that it continues has waited since then. A value that is not a time, or is in the future, is
-- ignored.
--
-- Refuses (22023) an element that is not an object or has another key, and whatever enqueue_job refuses.

create or replace function process_jobs.enqueue_follow_ups(
  p_follow_ups jsonb,
  p_priority int,
  p_created_by text,
  p_notify_url text,
  p_notify_user text
) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_follow_up jsonb;
  v_unknown_key text;
  v_scheduled_at timestamptz;
begin
  perform set_config('process_jobs.hands_on', 'on', true) where p_notify_url is not null;
  for v_follow_up in select f.value from jsonb_array_elements(p_follow_ups) f loop
    if jsonb_typeof(v_follow_up) <> 'object' then
      raise exception 'p_follow_ups must hold json objects, not %', jsonb_typeof(v_follow_up) using errcode = '22023';
    end if;
    select k into v_unknown_key
    from jsonb_object_keys(v_follow_up) k
    where k not in (
      'job_type', 'payload', 'priority', 'max_attempts', 'scheduled_at', 'unique_key', 'waiting_since')
    limit 1;
    if found then
      raise exception 'p_follow_ups has an unknown key "%"', left(v_unknown_key, 200) using errcode = '22023';
    end if;
    v_scheduled_at := (v_follow_up ->> 'scheduled_at')::timestamptz;
    if v_scheduled_at is null and v_follow_up ->> 'waiting_since' is not null then
      v_scheduled_at := process_jobs.time_or_null(v_follow_up ->> 'waiting_since');
      if v_scheduled_at > now() or not isfinite(v_scheduled_at) then
        v_scheduled_at := null;
      end if;
    end if;
    perform process_jobs.insert_job(
      v_follow_up ->> 'job_type',
      v_follow_up -> 'payload',
      greatest(coalesce((v_follow_up ->> 'priority')::int, 0), p_priority),
      (v_follow_up ->> 'max_attempts')::int,
      v_scheduled_at,
      v_follow_up ->> 'unique_key',
      p_created_by,
      p_notify_url,
      p_notify_user
    );
  end loop;
  perform set_config('process_jobs.hands_on', '', true) where p_notify_url is not null;
end
$$;

-- ── queue/enqueue_job.sql ──

-- enqueue_job: puts a job into the queue as `pending` and returns its id.
--
-- p_payload       a json object that a worker can read (check_job_payload)
-- p_priority      higher runs first, any int
-- p_max_attempts  1 to 100
-- p_scheduled_at  not before this time, a finite one; null: now. A past time decides the place among jobs of equal
--                 priority, as if the job had been enqueued then
-- p_unique_key    1 to 200 characters; while a job of this type and key is unfinished, its id is returned and nothing
--                 is enqueued, even if many call at once
-- p_notify_url    an http or https address that is told of the job's end (notify_end); null: the type's. A user of the app
--                 may give a public one only (check_notify_url)
--
-- Refuses (22023) a type without a row in job_types and arguments out of these bounds.
-- created_by becomes whoever calls (caller).

create or replace function public.enqueue_job(
  p_job_type text,
  p_payload jsonb,
  p_priority int default 0,
  p_max_attempts int default 3,
  p_scheduled_at timestamptz default null,
  p_unique_key text default null,
  p_notify_url text default null
) returns uuid
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return process_jobs.insert_job(
    p_job_type, p_payload, p_priority, p_max_attempts, p_scheduled_at, p_unique_key, process_jobs.caller(),
    p_notify_url);
end
$$;

revoke execute on function public.enqueue_job(text, jsonb, int, int, timestamptz, text, text) from public, anon, authenticated;
grant execute on function public.enqueue_job(text, jsonb, int, int, timestamptz, text, text) to service_role;

-- ── queue/enqueue_jobs.sql ──

-- enqueue_jobs: puts up to 1000 jobs into the queue, all or none, and returns their ids in the order given.
--
-- p_jobs is a json array of {job_type, payload, priority?, max_attempts?, scheduled_at?, unique_key?, notify_url?}, each bounded as
-- the arguments of enqueue_job are, null being the default. An element whose unique_key an unfinished job of its type
-- has, or an earlier element, gets that job's id. Which one runs first is up to priority and scheduled_at, not to their
-- order.
--
-- Refuses (22023) all of them if one is not an object, has another key, or a value that is of another type or out of
-- bounds; the message names the first such element and its key, as `p_jobs[3].priority`.
-- created_by becomes whoever calls (caller). Calls that share unique keys, in whichever order, wait for each other
-- without a deadlock.

create or replace function public.enqueue_jobs(p_jobs jsonb) returns uuid[]
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set jit = off
as $$
declare
  v_keys constant text[] := '{job_type,payload,priority,max_attempts,scheduled_at,unique_key,notify_url}';
  v_refusal text;
begin
  if p_jobs is null or jsonb_typeof(p_jobs) <> 'array' then
    raise exception 'p_jobs must be a json array, not %', coalesce(jsonb_typeof(p_jobs), 'null') using errcode = '22023';
  end if;
  if jsonb_array_length(p_jobs) > 1000 then
    raise exception 'p_jobs must hold at most 1000 jobs, not %', jsonb_array_length(p_jobs) using errcode = '22023';
  end if;

  select r.refusal into v_refusal
  from (
    select e.n, format('p_jobs[%s]', e.n - 1) || case
        when jsonb_typeof(e.job) <> 'object' then format(' must be a json object, not %s', jsonb_typeof(e.job))
        when e.job - v_keys <> '{}' then
          format(' has an unknown key "%s"', left((select min(k) from jsonb_object_keys(e.job - v_keys) k), 200))
        when jsonb_typeof(e.job -> 'job_type') is distinct from 'string' then
          format('.job_type must be a string, not %s', coalesce(jsonb_typeof(e.job -> 'job_type'), 'null'))
        when not exists (select from public.job_types t where t.job_type = e.job ->> 'job_type') then
          format('.job_type: unknown job type "%s": job_types has no row for it', left(e.job ->> 'job_type', 200))
        when jsonb_typeof(e.job -> 'payload') is distinct from 'object' then
          format('.payload must be a json object, not %s', coalesce(jsonb_typeof(e.job -> 'payload'), 'null'))
        when process_jobs.json_refusal('.payload', e.job -> 'payload') is not null then
          process_jobs.json_refusal('.payload', e.job -> 'payload')
        -- Of json, only numbers are between numbers.
        when e.job ->> 'priority' is not null
          and not (e.job -> 'priority' between '-2147483648' and '2147483647' and e.job ->> 'priority' ~ '^-?[0-9]+$')
        then
          format('.priority must be an integer between -2147483648 and 2147483647, not %s',
            left(e.job ->> 'priority', 100))
        when e.job ->> 'max_attempts' is not null
          and not (e.job -> 'max_attempts' between '1' and '100' and e.job ->> 'max_attempts' ~ '^[0-9]+$')
        then
          format('.max_attempts must be an integer between 1 and 100, not %s', left(e.job ->> 'max_attempts', 100))
        when jsonb_typeof(e.job -> 'unique_key') not in ('string', 'null') then
          format('.unique_key must be a string, not %s', jsonb_typeof(e.job -> 'unique_key'))
        when length(e.job ->> 'unique_key') not between 1 and 200 then
          format('.unique_key must have between 1 and 200 characters, not %s', length(e.job ->> 'unique_key'))
        when jsonb_typeof(e.job -> 'notify_url') not in ('string', 'null') then
          format('.notify_url must be a string, not %s', jsonb_typeof(e.job -> 'notify_url'))
        when e.job ->> 'scheduled_at' is not null then
          case
            when jsonb_typeof(e.job -> 'scheduled_at') <> 'string' then
              format('.scheduled_at must be a string, not %s', jsonb_typeof(e.job -> 'scheduled_at'))
            when process_jobs.time_or_null(e.job ->> 'scheduled_at') is null then
              format('.scheduled_at must be a time, not "%s"', left(e.job ->> 'scheduled_at', 100))
            when not isfinite(process_jobs.time_or_null(e.job ->> 'scheduled_at')) then
              format('.scheduled_at must be finite, not %s', process_jobs.time_or_null(e.job ->> 'scheduled_at'))
          end
      end as refusal
    from jsonb_array_elements(p_jobs) with ordinality e (job, n)
  ) r
  where r.refusal is not null
  order by r.n
  limit 1;
  if v_refusal is not null then
    raise exception '%', v_refusal using errcode = '22023';
  end if;

  return process_jobs.insert_jobs(p_jobs, process_jobs.caller());
end
$$;

revoke execute on function public.enqueue_jobs(jsonb) from public, anon, authenticated;
grant execute on function public.enqueue_jobs(jsonb) to service_role;

-- ── queue/exchange_jobs.sql ──

-- exchange_jobs: a worker's round trip: records the outcomes of its runs and claims its next jobs.
--
-- p_outcomes     as for settle_jobs, each settled on its own: a refused one does not hinder the others
-- p_job_types    as for claim_next_job
-- p_limit        as for claim_next_job; 0: nothing is claimed
-- p_lease_token  as for claim_next_job
--
-- Returns {"settled": […], "jobs": […], "seconds_until_next": …}. settled has for each outcome
--   true             recorded
--   false            the job is not the caller's any more
--   a text           the reason of a refusal for the outcome itself (SQLSTATE classes 22, 23, 44, P0, PT)
--   {"again": text}  not recorded for a reason that passes or can be mended, a lock or a missing right: send it again.
--                    If the lease ends first, the text is in the message of that end
-- jobs are objects with the columns of claim_next_job that a worker reads, in the claim's order. seconds_until_next is
-- that of seconds_until_next_job if there were fewer than p_limit.
--
-- If another session has locked what an outcome needs, the call waits 300 ms. A state of the server (is_server_state)
-- rolls the whole call back, and it can be called again. Locks are taken in one order: turn, jobs, rows that follow
-- jobs, types; so the turn comes first if the claim will need it or outcomes are tried one by one. Refuses (22023) a
-- p_outcomes that is not a json array, and p_limit outside 0 to 1000.
create or replace function public.exchange_jobs(
  p_outcomes jsonb default '[]',
  p_job_types text[] default null,
  p_limit int default 0,
  p_lease_token uuid default null
) returns json
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- One plan for all that is called from here, whatever the statistics say: they may be from when the queue was empty.
-- Without these settings the planner would sort all ready jobs, or plan anew in each call.
set enable_seqscan = off
set enable_sort = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_generic_plan
-- Below deadlock_timeout: sessions that wait in a ring all the same give up before it counts as a deadlock.
set lock_timeout = '300ms'
as $$
declare
  v_outcome jsonb;
  v_settled jsonb;
  v_has_chores boolean;
  v_has_turn boolean := false;
  v_claim record;
  v_jobs text[];
  v_next double precision;
begin
  if p_outcomes is null or jsonb_typeof(p_outcomes) <> 'array' then
    raise exception 'p_outcomes must be a json array, not %', coalesce(jsonb_typeof(p_outcomes), 'null') using errcode = '22023';
  end if;
  if p_limit is null or p_limit not between 0 and 1000 then
    raise exception 'p_limit must be between 0 and 1000, not %', coalesce(p_limit::text, 'null') using errcode = '22023';
  end if;

  v_has_chores := p_limit > 0 and process_jobs.has_chores(p_job_types);
  if v_has_chores and p_outcomes <> '[]' and process_jobs.needs_turn(p_job_types) then
    v_has_turn := process_jobs.take_turn(true);
  end if;

  -- All at once; only where one is refused, each in a subtransaction of its own, which costs.
  begin
    v_settled := to_jsonb(process_jobs.settle_jobs(p_outcomes));
  exception
    when others then
      if process_jobs.is_server_state(sqlstate) then
        raise;
      end if;
  end;
  if v_settled is null then
    if not v_has_turn then
      v_has_turn := process_jobs.take_turn(true);
    end if;
    v_settled := '[]';
    for v_outcome in select value from jsonb_array_elements(p_outcomes) loop
      begin
        v_settled := v_settled || to_jsonb(process_jobs.settle_jobs(jsonb_build_array(v_outcome)));
      exception
        when others then
          if process_jobs.is_server_state(sqlstate) then
            raise;
          elsif sqlstate ~ '^(22|23|44|P0|PT)' then
            v_settled := v_settled || to_jsonb(sqlerrm);
          else
            v_settled := v_settled || jsonb_build_array(jsonb_build_object('again', sqlerrm));
            perform process_jobs.note_job_trouble(
              (v_outcome ->> 'job_id')::uuid, 'settle', sqlerrm, (v_outcome ->> 'lease_token')::uuid);
          end if;
      end;
    end loop;
  end if;

  if p_limit > 0 then
    v_claim := process_jobs.claim_jobs(
      p_job_types, p_limit, null, p_lease_token, v_has_chores, v_has_turn or p_outcomes = '[]');
    v_jobs := v_claim.jobs;
    v_next := v_claim.seconds_until_next;
  end if;
  return concat('{"settled":', v_settled, ',"jobs":[', array_to_string(v_jobs, ','), '],"seconds_until_next":',
    coalesce(to_json(v_next)::text, 'null'), '}');
end
$$;

revoke execute on function public.exchange_jobs(jsonb, text[], int, uuid) from public, anon, authenticated;
grant execute on function public.exchange_jobs(jsonb, text[], int, uuid) to service_role;

-- ── queue/has_chores.sql ──

-- has_chores: whether a claim has something to do before it picks: leases whose time has come, jobs that have fallen due,
-- troubles to retry, or starts to count. A claim or an exchange calls it first.
create or replace function process_jobs.has_chores(p_job_types text[]) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_leases constant oid := 'process_jobs.leases_expire'::regclass;
  v_waiting constant oid := 'process_jobs.waiting_jobs_due'::regclass;
  v_walked bigint := pg_stat_get_xact_tuples_returned(v_leases) + pg_stat_get_xact_tuples_returned(v_waiting)
    + 50 * (pg_stat_get_xact_blocks_fetched(v_leases) + pg_stat_get_xact_blocks_fetched(v_waiting));
  v_has boolean;
begin
  v_has := exists (
      select from process_jobs.begins b, process_jobs.leases l where l.expires_at <= now() and l.expires_at >= b.leases)
    or exists (
      select from process_jobs.begins b, process_jobs.waiting_jobs w where w.due_at <= now() and w.due_at >= b.waiting_jobs)
    or exists (
      select from process_jobs.job_troubles b
      where b.retry_at <= now() and (b.kind in ('effect', 'cancel', 'notify') or b.retry_at <= now() - interval '10 minutes'))
    or exists (
        select from public.job_types t
        where t.starts_per_minute is not null and (p_job_types is null or t.handler = any (p_job_types)))
      and process_jobs.counts_starts(p_job_types);
  -- Entries passed over that are gone, a page of them counted as fifty: as in claim_jobs.
  v_walked := pg_stat_get_xact_tuples_returned(v_leases) + pg_stat_get_xact_tuples_returned(v_waiting)
    + 50 * (pg_stat_get_xact_blocks_fetched(v_leases) + pg_stat_get_xact_blocks_fetched(v_waiting)) - v_walked;
  if v_walked > 1000 then
    perform process_jobs.raise_time_marks();
  end if;
  return v_has;
end
$$;

-- ── queue/heartbeat_job.sql ──

-- heartbeat_job: extends the lease of a running job to p_lease_seconds from now (null: its type's lease_seconds); true:
-- extended, false: the job is not processing under this token any more, and the caller should stop.
--
-- An expired lease that nobody has taken back is extended too. Refuses (22023) p_lease_seconds outside 1 to 86400 and
-- p_progress outside 0 to 100; p_progress null keeps the stored one.
create or replace function public.heartbeat_job(
  p_job_id uuid,
  p_lease_token uuid,
  p_lease_seconds int default null,
  p_progress int default null
) returns boolean
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty. (No = beside the id, which
-- would let a planner use a partial index.)
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  if p_lease_seconds not between 1 and 86400 then
    raise exception 'p_lease_seconds must be between 1 and 86400, not %', p_lease_seconds using errcode = '22023';
  end if;
  if p_progress not between 0 and 100 then
    raise exception 'p_progress must be between 0 and 100, not %', p_progress using errcode = '22023';
  end if;

  update public.job_queue j
  set (lease_expires_at, moves) = (
      -- Nobody need look earlier than before, unless the lease is shortened (keep_places).
      select l.expires_at, j.moves + case when l.expires_at >= j.lease_expires_at then 1 else 0 end
      from (
        select now() + make_interval(secs => coalesce(
          p_lease_seconds, (select t.lease_seconds from public.job_types t where t.job_type = j.job_type)))
      ) l (expires_at)
    ),
    progress = coalesce(p_progress, j.progress),
    updated_at = now()
  where j.id = p_job_id and j.lease_token = p_lease_token and j.status is not distinct from 'processing';
  return found;
end
$$;

revoke execute on function public.heartbeat_job(uuid, uuid, int, int) from public, anon, authenticated;
grant execute on function public.heartbeat_job(uuid, uuid, int, int) to service_role;

-- ── queue/hold_key.sql ──

-- hold_key: an unfinished job that is inserted or changed by hand holds its unique_key; for keep_places and
-- place_inserted. Refuses (23505) a key that another unfinished job of its type holds.
create or replace function process_jobs.hold_key(p_job public.job_queue) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_job.unique_key is null or p_job.status not in ('pending', 'processing') then
    return;
  end if;
  perform from process_jobs.unfinished_keys k
  where k.job_type = p_job.job_type collate "C" and k.unique_key = p_job.unique_key collate "C" and k.id = p_job.id;
  if found then
    return;
  end if;
  -- Reserved, but a trigger of the app's may have given the job another id.
  update process_jobs.unfinished_keys k
  set id = p_job.id
  where k.job_type = p_job.job_type collate "C" and k.unique_key = p_job.unique_key collate "C"
    and (select j.id from public.job_queue j where j.id = k.id) is null;
  if not found then
    insert into process_jobs.unfinished_keys (job_type, unique_key, id)
    values (p_job.job_type, p_job.unique_key, p_job.id);
  end if;
end
$$;

-- ── queue/insert_job.sql ──

-- insert_job: the work of enqueue_job, for it and for enqueue_follow_ups; every column that must have a value gets one.
--
-- p_notify_url null becomes the type's. p_created_by becomes null if the column's type cannot hold it.
create or replace function process_jobs.insert_job(
  p_job_type text,
  p_payload jsonb,
  p_priority int,
  p_max_attempts int,
  p_scheduled_at timestamptz,
  p_unique_key text,
  p_created_by text,
  p_notify_url text default null,
  p_notify_user text default null
) returns uuid
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_max_attempts int := coalesce(p_max_attempts, 3);
  v_created_by public.job_queue.created_by%type;
  v_id uuid := process_jobs.new_job_id();
  v_holder uuid;
  v_made uuid;
  v_has_key boolean;
  v_notify_url text;
begin
  -- The column may be a uuid, as ids of users are.
  begin
    v_created_by := p_created_by;
  exception
    when invalid_text_representation then
      null;
  end;
  select coalesce(p_notify_url, t.notify_url) into v_notify_url from public.job_types t where t.job_type = p_job_type;
  if not found then
    raise exception 'unknown job type "%": job_types has no row for it', left(p_job_type, 200)
      using errcode = '22023';
  end if;
  if p_payload is null then
    raise exception 'payload must be a json object, not null' using errcode = '22023';
  end if;
  if not isfinite(p_scheduled_at) then
    raise exception 'p_scheduled_at must be finite, not %', p_scheduled_at using errcode = '22023';
  end if;
  if v_max_attempts not between 1 and 100 then
    raise exception 'p_max_attempts must be between 1 and 100, not %', v_max_attempts using errcode = '22023';
  end if;
  if length(p_unique_key) not between 1 and 200 then
    raise exception 'p_unique_key must have between 1 and 200 characters, not %', length(p_unique_key)
      using errcode = '22023';
  end if;

  if p_unique_key is not null then
    -- Reserved before the insert: a violation would cost it, and a subtransaction for each. The job that holds the key may
    -- end between the two looks: then the key is free.
    loop
      insert into process_jobs.unfinished_keys (job_type, unique_key, id) values (p_job_type, p_unique_key, v_id)
      on conflict do nothing;
      exit when found;
      select k.id into v_holder
      from process_jobs.unfinished_keys k
      where k.job_type = p_job_type collate "C" and k.unique_key = p_unique_key collate "C";
      if v_holder is not null then
        return v_holder;
      end if;
    end loop;
  end if;

  insert into public.job_queue (
    id, job_type, payload, status, priority, attempt_number, max_attempts, scheduled_at, created_at, updated_at,
    unique_key, created_by, notify_url, notify_user
  )
  values (
    v_id, p_job_type, p_payload, 'pending', coalesce(p_priority, 0), 0, v_max_attempts,
    coalesce(p_scheduled_at, now()), least(p_scheduled_at, now()), now(), p_unique_key, v_created_by,
    v_notify_url, p_notify_user
  )
  returning id, unique_key is not distinct from p_unique_key and job_type = p_job_type and status in ('pending', 'processing')
  into v_made, v_has_key;
  if v_made is null then
    raise exception 'a trigger of job_queue has taken no job' using errcode = '22023';
  end if;
  if not v_has_key then
    -- A trigger of the app's has given the job another one, or ended it.
    delete from process_jobs.unfinished_keys k
    where k.job_type = p_job_type collate "C" and k.unique_key = p_unique_key collate "C" and k.id = v_id;
  end if;
  return v_made;
end
$$;

-- ── queue/insert_jobs.sql ──

-- insert_jobs: the work of enqueue_jobs, which has looked at p_jobs. It makes the rows that insert_job makes, in one
-- statement: a statement for each would cost several times as much.
--
-- p_created_by becomes null if the column's type cannot hold it.
create or replace function process_jobs.insert_jobs(p_jobs jsonb, p_created_by text) returns uuid[]
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_created_by public.job_queue.created_by%type;
  v_ids uuid[];
  v_are_known boolean;
  v_are_made boolean;
  v_types_notify boolean := exists (select from public.job_types t where t.notify_url is not null);
begin
  -- The column may be a uuid, as ids of users are.
  begin
    v_created_by := p_created_by;
  exception
    when invalid_text_representation then
      null;
  end;

  -- As in insert_job, each key is reserved before. In one order in all calls, so that none waits for another that waits
  -- for it: of keys, and below of generations.
  loop
    insert into process_jobs.unfinished_keys (job_type, unique_key)
    select distinct e.job_type collate "C" as job_type, e.unique_key collate "C" as unique_key
    from jsonb_to_recordset(p_jobs) as e (job_type text, unique_key text)
    where e.unique_key is not null
    order by 1, 2
    on conflict do nothing;
    select array_agg(k.id order by e.n), bool_and(e.unique_key is null or k.unique_key is not null)
    into v_ids, v_are_known
    from rows from (jsonb_to_recordset(p_jobs) as (job_type text, unique_key text)) with ordinality e (job_type, unique_key, n)
    left join process_jobs.unfinished_keys k
      on k.job_type = e.job_type collate "C" and k.unique_key = e.unique_key collate "C";
    exit when v_are_known is not false;
  end loop;

  with job as materialized (
    select e.*,
      e.id is null and (
        e.unique_key is null or row_number() over (partition by e.job_type, e.unique_key order by e.n) = 1) as is_new
    from (
      -- In the order given, which is that in which they are claimed.
      select r.*, process_jobs.new_job_id() as new_id
      from rows from (
        jsonb_to_recordset(p_jobs) as (
          job_type text, payload jsonb, priority int, max_attempts int, scheduled_at timestamptz, unique_key text,
          notify_url text),
        unnest(v_ids)
      ) with ordinality r (job_type, payload, priority, max_attempts, scheduled_at, unique_key, notify_url, id, n)
    ) e
    order by e.job_type, e.unique_key, e.payload ->> 'generation_id', e.n
  ), inserted as (
    insert into public.job_queue (
      id, job_type, payload, status, priority, attempt_number, max_attempts, scheduled_at, created_at, updated_at,
      unique_key, created_by, notify_url
    )
    select n.new_id, n.job_type, n.payload, 'pending', coalesce(n.priority, 0), 0, coalesce(n.max_attempts, 3),
      coalesce(n.scheduled_at, now()), least(n.scheduled_at, now()), now(), n.unique_key, v_created_by,
      coalesce(n.notify_url, case
        when v_types_notify then (select t.notify_url from public.job_types t where t.job_type = n.job_type)
      end)
    from job n
    where n.is_new
    returning id
  )
  select array_agg(coalesce(a.id, a.made) order by a.n),
    array(select i.id from inserted i) = array(select n.new_id from job n where n.is_new)
  into v_ids, v_are_made
  from (
    select n.n, n.id,
      first_value(n.new_id) over (
        partition by n.job_type, n.unique_key, case when n.unique_key is null then n.n end order by n.n) as made
    from job n
  ) a;
  if not v_are_made then
    raise exception 'a trigger of job_queue has taken no job' using errcode = '22023';
  end if;
  -- As in insert_job.
  delete from process_jobs.unfinished_keys k
  where k.ctid = any (array(
    select held.place
    from jsonb_to_recordset(p_jobs) as e (job_type text, unique_key text)
    cross join lateral (
      select h.ctid as place from process_jobs.unfinished_keys h
      where h.job_type = e.job_type collate "C" and h.unique_key = e.unique_key collate "C" and h.id is null
      offset 0
    ) held));
  return coalesce(v_ids, '{}');
end
$$;

-- ── queue/is_server_state.sql ──

-- is_server_state: true if an error concerns the server or the whole transaction (SQLSTATE classes 08, 25, 40, 53, 54,
-- 57, 58, XX) rather than one job: callers raise it, so that the call is repeated.
create or replace function process_jobs.is_server_state(p_sqlstate text) returns boolean
language sql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select p_sqlstate ~ '^(08|25|40|53|54|57|58|XX)'
$$;

-- ── queue/is_wish_to_cancel.sql ──

-- is_wish_to_cancel: whether this update, of an app's own, only asks for the job's cancel (keep_places).
create or replace function process_jobs.is_wish_to_cancel(p_old public.job_queue, p_new public.job_queue) returns boolean
language plpgsql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return p_new.status = 'cancelled' and p_old.status in ('pending', 'processing') and p_new.moves <= p_old.moves
    and p_new.lease_token is not distinct from p_old.lease_token
    and not (p_old.attempt_number = 0 and p_old.checkpoint is null and p_old.lease_token is null);
end
$$;

-- ── queue/jobs_that_fit.sql ──

-- jobs_that_fit: the first of these jobs that together have at most so many bytes of payloads, checkpoints and events, as
-- text, but one at least; for claim_jobs.
create or replace function process_jobs.jobs_that_fit(p_picked uuid[], p_max_bytes int) returns uuid[]
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  return (
    select array_agg(sized.id order by sized.n)
    from (
      select picked.id, picked.n, sum(picked.bytes) over (order by picked.n) as bytes
      from (
        select j.id, array_position(p_picked, j.id) as n,
          octet_length(j.payload::text) + coalesce(octet_length(j.checkpoint::text), 0)
            + coalesce(octet_length(j.event::text), 0) as bytes
        from public.job_queue j
        where j.id = any (p_picked)
      ) picked
    ) sized
    where sized.bytes <= p_max_bytes or sized.n = 1
  );
end
$$;

-- ── queue/json_refusal.sql ──

-- json_refusal: why a worker could not read this json, or null if it can; for the functions that store it with a job.
--
-- A worker reads at most 1048576 bytes as text, 100 levels deep, numbers below 1e308. Whatever the json is, the answer
-- takes some tens of milliseconds at most.
create or replace function process_jobs.json_refusal(p_name text, p_json jsonb) returns text
language plpgsql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_text text := p_json::text;
  v_bytes int := octet_length(v_text);
begin
  return case
    -- 101 pairs of brackets around a digit are the shortest that is refused.
    when v_bytes < 203 then null
    when v_bytes > 1048576 then format('%s must have at most 1048576 bytes, not %s', p_name, v_bytes)
    when jsonb_path_exists(p_json, '$.**{101 to last}') then format('%s must be at most 100 levels deep', p_name)
    -- The two say the same: the first takes its time for every value, the second for every byte. A number of 1e308 or
    -- more has 309 digits before its point, for jsonb writes all of them; the rest is what may stand before it: strings,
    -- and what is none.
    when case
        when v_bytes < 16384 then jsonb_path_exists(p_json, 'strict $.** ? (@ >= 1e308 || @ <= -1e308)')
        else v_text ~ '^(?:(?:[^"]|"(?:[^"\\]|\\.)*")*[[ -])?[0-9]{255}[0-9]{54}'
      end then format('%s must have no number of 1e308 or more', p_name)
  end;
end
$$;

-- ── queue/keep_lease.sql ──

-- keep_lease: a job that is put to work by hand has its lease looked after; for keep_places and place_inserted.
create or replace function process_jobs.keep_lease(p_job public.job_queue) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into process_jobs.leases as l (token, expires_at, jobs)
  values (p_job.lease_token, p_job.lease_expires_at, array[p_job.id])
  on conflict (token) do update
  set expires_at = least(l.expires_at, excluded.expires_at),
    jobs = case when p_job.id = any (l.jobs) then l.jobs else l.jobs || p_job.id end;
end
$$;

-- ── queue/keep_places.sql ──

-- keep_places: triggers on job_queue. What is changed by hand or deleted is checked (check_job) and given its place; what
-- is inserted, by place_inserted. So is a job with a notify_url, for whose end notify_end looks: settle_jobs and
-- take_back_jobs do not raise its `moves`, because a trigger of its own would cost every job.
--
-- The functions that move jobs themselves raise `moves` with each change, and are passed over, unless the app's own triggers
-- have changed the job's type or key along with it. Two changes by hand mean something else than what they say:
--
-- processing -> pending, with its token    the worker may be in the middle of an effect that must not happen twice, so the
--                                          job is not claimed before its lease is over; its settle counts until then
-- pending, processing -> cancelled, with   as by cancel_job: a job that may have begun something is put back, with
-- the same token                           cancel_requested_at, and cancelled once a worker has ended that. Until it is
--                                          put back, after the statement, it is `cancelled`, as the app's own policies
--                                          may demand
create or replace function process_jobs.keep_places() returns trigger
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_now public.job_queue;
begin
  if tg_op = 'DELETE' then
    perform process_jobs.take_out(old);
    return null;
  end if;
  if new.notify_url is not null then
    perform process_jobs.notify_end(old, new);
  end if;
  if (
    new.id, new.job_type, new.status, new.priority, new.created_at, new.scheduled_at, new.completed_at, new.unique_key,
    new.lease_token, new.lease_expires_at, new.woken_at, new.checkpoint is null
  ) is not distinct from (
    old.id, old.job_type, old.status, old.priority, old.created_at, old.scheduled_at, old.completed_at, old.unique_key,
    old.lease_token, old.lease_expires_at, old.woken_at, old.checkpoint is null
  ) then
    perform process_jobs.check_job(new);
    return null;
  end if;

  perform process_jobs.take_out(old);
  perform process_jobs.check_job(new);
  -- Another trigger may have changed the row since, or deleted it.
  select * into v_now from public.job_queue j where j.id = new.id;
  perform process_jobs.hold_key(v_now);
  if v_now.status in ('pending', 'failed') then
    perform process_jobs.place_jobs(
      array[v_now.id], case when current_setting('process_jobs.ring', true) is distinct from 'asked' then v_now.id end);
  elsif v_now.status = 'processing' then
    perform process_jobs.keep_lease(v_now);
  end if;

  if old.status = 'processing' and new.status = 'pending' and new.scheduled_at < new.lease_expires_at then
    update public.job_queue j set scheduled_at = new.lease_expires_at where j.id = new.id;
  elsif process_jobs.is_wish_to_cancel(old, new) then
    update public.job_queue j
    set status = old.status,
      cancel_requested_at = coalesce(old.cancel_requested_at, now()),
      checkpoint = coalesce(old.checkpoint, '{}'),
      scheduled_at = case
        when old.status = 'pending' then least(old.scheduled_at, greatest(now(), old.lease_expires_at))
        else old.scheduled_at
      end,
      woken_at = now(), completed_at = old.completed_at, updated_at = now()
    where j.id = new.id and j.status is not distinct from 'cancelled';
  elsif new.status = 'cancelled' and old.status in ('pending', 'processing')
    and (new.completed_at is null or new.event is not null)
  then
    update public.job_queue j
    set event = null, completed_at = coalesce(j.completed_at, now()), updated_at = now()
    where j.id = new.id;
  end if;
  return null;
end
$$;

create or replace trigger process_jobs_keep_places
  after delete on public.job_queue
  for each row execute function process_jobs.keep_places();
create or replace trigger process_jobs_keep_places_by_hand
  after update on public.job_queue
  for each row when (
    new.moves <= old.moves or new.job_type <> old.job_type or new.unique_key is distinct from old.unique_key)
  execute function process_jobs.keep_places();

-- ── queue/lower_marks.sql ──

-- lower_marks: moves the marks of lanes back to these jobs, which have just become ready; for place_jobs and promote_jobs.
create or replace function process_jobs.lower_marks(p_jobs uuid[]) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '20ms'
-- As in exchange_jobs.
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  with first as materialized (
    select distinct on (placed.job_type, placed.lane)
      placed.job_type, placed.lane, placed.rank, placed.created_at, placed.id
    -- (Offset: found by id alone, whatever else a planner finds promising.)
    from (select * from process_jobs.ready_jobs r where r.id = any (p_jobs) offset 0) placed
    order by placed.job_type, placed.lane, placed.rank, placed.created_at, placed.id
  )
  update process_jobs.marks m
  set rank = f.rank, created_at = f.created_at, id = f.id
  from first f
  where m.job_type = f.job_type and m.lane = f.lane and m.look_at > now()
    and (f.rank, f.created_at, f.id) < (m.rank, m.created_at, m.id);
exception
  when lock_not_available then
    -- Found when the mark is over (raise_marks).
    null;
end
$$;

-- ── queue/misplaced_jobs.sql ──

-- misplaced_jobs: the jobs that are not where claims look for them, and why, and the places of jobs that have none; for
-- process_jobs_doctor and tests. Reads all of job_queue and of the places.
--
-- Such a place comes of rows written without triggers, by a restore or a subscription, and is mended by rebuild_places.
create or replace function process_jobs.misplaced_jobs() returns table (job_id uuid, reason text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(p.id, e.id), case
      when e.id is null then 'it is pending and has no place'
      when p.id is null then 'it has a place and is not pending'
      else 'it is pending and its place is another''s'
    end
  from process_jobs.places p
  full join (
    select r.id, r.job_type, r.lane, r.rank, r.created_at, null::timestamptz as due_at from process_jobs.ready_jobs r
    union all
    select w.id, w.job_type, w.lane, w.rank, w.created_at, w.due_at from process_jobs.waiting_jobs w
  ) e on e.id = p.id
  where p.id is null or e.id is null
    or (e.job_type, e.lane, e.created_at) is distinct from (p.job_type, p.lane, p.created_at)
    or case
      -- Whichever turn it was given.
      when p.is_fair then coalesce(e.rank >> 31 <> -p.priority::bigint, e.due_at is null)
      else e.rank is distinct from p.rank
    end
    or coalesce(e.due_at <> p.due_at, p.due_at > clock_timestamp())
  union all
  select w.id, 'it is ready and waits' from process_jobs.waiting_jobs w join process_jobs.ready_jobs r on r.id = w.id
  union all
  select j.id, 'it is processing and no lease tells when to look after it'
  from public.job_queue j
  where j.status = 'processing' and not exists (
    select from process_jobs.leases l
    where l.token = j.lease_token and j.id = any (l.jobs) and l.expires_at <= j.lease_expires_at)
  union all
  select coalesce(j.id, f.id), 'it is failed or its place says so'
  from (select * from public.job_queue where status = 'failed') j
  full join process_jobs.failed_jobs f on f.id = j.id
  where f.id is null or j.id is null or (f.job_type, f.failed_at) is distinct from (j.job_type::text, j.completed_at)
  union all
  select coalesce(j.id, k.id), 'its unique_key is kept wrongly'
  from (select * from public.job_queue where status in ('pending', 'processing') and unique_key is not null) j
  full join process_jobs.unfinished_keys k on k.id = j.id
  where k.id is null or j.id is null or (k.job_type, k.unique_key) is distinct from (j.job_type::text, j.unique_key)
$$;

-- ── queue/needs_turn.sql ──

-- needs_turn: whether a claim takes the turn: to take back lost jobs or to count starts. Locks nothing.
create or replace function process_jobs.needs_turn(p_job_types text[]) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  return exists (select from process_jobs.lost_jobs) or process_jobs.counts_starts(p_job_types);
end
$$;

-- ── queue/note_job_trouble.sql ──

-- note_job_trouble: records an obstacle of a job (job_troubles), to be retried after 5 s, then twice as long each time,
-- at most ten minutes; only for the queue's own functions.
--
-- A trouble of kind settle is kept for at least an hour.
create or replace function process_jobs.note_job_trouble(p_job_id uuid, p_kind text, p_message text, p_lease_token uuid default null)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into process_jobs.job_troubles as t (job_id, kind, message, lease_token, retry_at)
  values (
    p_job_id, p_kind, left(p_message, 2000), p_lease_token,
    now() + case when p_kind = 'settle' then interval '1 hour' else interval '5 seconds' end
  )
  on conflict (job_id, kind) do update
  set message = excluded.message, lease_token = excluded.lease_token, tries = t.tries + 1,
    retry_at = case
      when p_kind = 'settle' then excluded.retry_at
      else now() + make_interval(secs => least(600, 5 * power(2, least(t.tries, 10))))
    end;
  if p_kind <> 'settle' then
    raise warning 'job %: %', p_job_id, p_message;
  end if;
end
$$;

-- ── queue/place_in_turn.sql ──

-- place_in_turn: gives jobs of types with a fair_key, which are due and have not begun, their turns and their places; for
-- place_jobs, promote_jobs and rebuild_places. p_rings is as in place_jobs.
--
-- Start-time fair queuing: a job's turn is the one after its owner's last, and after the one that is being taken: that of
-- the first ready job of its priority or, if there is none, the last that anybody was given. So of the jobs that are ready
-- no owner has two in one turn, nobody pays for turns that are over, and no turn grows once it has come.
--
-- A session waits for nobody but those who place jobs of the same owner, and for 20 ms: then it reckons with what is
-- committed, and two jobs of that owner may have the same turn. After 2^31 turns of a priority age alone decides.
create or replace function process_jobs.place_in_turn(p_jobs uuid[], p_rings uuid default null) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '20ms'
-- As in exchange_jobs; but owners and jobs are hashed, or each job would look at each owner.
set enable_seqscan = off
set enable_hashjoin = on
set enable_mergejoin = off
set enable_bitmapscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  for v_waits in reverse 1 .. 0 loop
    begin
      with job as materialized (
        select j.id, j.job_type::text collate "C" as job_type, j.priority, j.created_at,
          hashtextextended(coalesce(j.payload ->> t.fair_key, ''), 0) as owner
        from public.job_queue j
        join public.job_types t on t.job_type = j.job_type
        where j.id = any (p_jobs)
      ), line as materialized (
        select p.job_type, p.priority, coalesce(
          (
            -- (One bound, where the lane's mark is before it too: two would be looked for from the lower one.)
            select r.rank & 2147483647
            from (select -p.priority::bigint << 31) b (rank)
            left join process_jobs.marks m on m.job_type = p.job_type and m.lane = 0 and m.look_at > now() and m.rank > b.rank
            cross join lateral (
              select r.rank from process_jobs.ready_jobs r
              where r.job_type = p.job_type and r.lane = 0 and r.rank < b.rank + 2147483648
                and (r.rank, r.created_at, r.id) >= (
                  coalesce(m.rank, b.rank + 1), coalesce(m.created_at, '-infinity'),
                  coalesce(m.id, '00000000-0000-0000-0000-000000000000'))
              order by r.rank, r.created_at, r.id
              limit 1
            ) r
          ),
          (
            select t.turn from process_jobs.turns t
            where t.job_type = p.job_type and t.priority = p.priority and t.turn > 0
            order by t.turn desc
            limit 1
          ),
          0) as turn
        from (select distinct j.job_type, j.priority from job j) p
      ), asked as materialized (
        select l.job_type, l.priority, j.owner, l.turn + count(*) as turn, count(*) as jobs
        from job j
        join line l on l.job_type = j.job_type and l.priority = j.priority
        group by l.job_type, l.priority, j.owner, l.turn
      ), given as (
        -- In one order in all calls, so that no two wait for each other.
        insert into process_jobs.turns as t (job_type, priority, owner, turn, jobs)
        select a.job_type, a.priority, a.owner, a.turn, a.jobs from asked a where v_waits = 1
        order by a.job_type, a.priority, a.owner
        on conflict (job_type, priority, owner) do update
        set turn = greatest(t.turn + excluded.jobs, excluded.turn), jobs = excluded.jobs
        returning t.*
      )
      insert into process_jobs.ready_jobs (id, job_type, lane, rings, rank, created_at)
      select j.id, j.job_type, 0,
        j.id is not distinct from p_rings and set_config('process_jobs.ring', 'asked', true) = 'asked',
        (-j.priority::bigint << 31) + least(2147483647, g.turn - g.jobs + j.n), j.created_at
      from (
        select j.*, row_number() over (partition by j.job_type, j.priority, j.owner order by j.created_at, j.id) as n from job j
      ) j
      join (
        select g.job_type, g.priority, g.owner, g.turn, g.jobs from given g
        union all
        select a.job_type, a.priority, a.owner, greatest(t.turn + a.jobs, a.turn), a.jobs
        from asked a
        left join process_jobs.turns t on t.job_type = a.job_type and t.priority = a.priority and t.owner = a.owner
        where v_waits = 0
      ) g on g.job_type = j.job_type and g.priority = j.priority and g.owner = j.owner
      on conflict (id) do nothing;
      return;
    exception
      -- (Of waits that follow each other, one that ends in the very moment it is over shows as a cancel. A real cancel that
      -- comes then is lost, and the statement goes on, which waits for no turn any more.)
      when lock_not_available or query_canceled or serialization_failure then
        if v_waits = 0 then
          raise;
        end if;
        -- (What may be waited for now is a table that many make longer at once.)
        perform set_config('lock_timeout', '300ms', true);
    end;
  end loop;
end
$$;

-- ── queue/place_inserted.sql ──

-- place_inserted: trigger on job_queue: all rows that a statement inserts are checked (check_job) and given their places.
create or replace function process_jobs.place_inserted() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_placed uuid[];
  v_rings uuid;
  v_is_plain boolean;
begin
  -- What is plainly in order, and has no key and no lease, need not be looked at one by one.
  select array_agg(i.id) filter (where i.status in ('pending', 'failed')),
    case
      when current_setting('process_jobs.ring', true) is distinct from 'asked'
      then (array_agg(i.id) filter (where i.status = 'pending' and i.scheduled_at <= now()))[1]
    end,
    bool_and(
    (i.status = 'pending' and i.attempt_number = 0 and i.max_attempts > 0 and i.progress is null and i.errors = '[]'
    and isfinite(i.scheduled_at) and isfinite(i.created_at) and i.unique_key is null
    and num_nonnulls(i.started_at, i.first_started_at, i.lease_expires_at) = 0) is true)
  into v_placed, v_rings, v_is_plain
  from inserted i;
  if not v_is_plain then
    perform process_jobs.check_job(i) from inserted i;
    -- Another trigger may have changed a row since, or deleted it.
    perform process_jobs.hold_key((select j from public.job_queue j where j.id = i.id))
    from inserted i order by i.job_type, i.unique_key;
    perform process_jobs.keep_lease(i) from inserted i where i.status = 'processing';
  end if;
  if v_placed is not null then
    perform process_jobs.place_jobs(v_placed, v_rings);
  end if;
  return null;
end
$$;

create or replace trigger process_jobs_place_inserted
  after insert on public.job_queue referencing new table as inserted
  for each statement execute function process_jobs.place_inserted();

-- ── queue/place_jobs.sql ──

-- place_jobs: gives jobs that have become pending or failed, and keys of jobs that have ended, their places; for
-- settle_jobs, take_back_jobs, keep_places and place_inserted. Those that are in their place already stay.
--
-- p_rings  the job to ring for when the transaction commits (ring_at_commit), if it is ready now
drop function if exists process_jobs.place_jobs(uuid[]);
create or replace function process_jobs.place_jobs(p_jobs uuid[], p_rings uuid default null) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs; the other settings for that are its callers'.
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_placed uuid[];
  v_ready uuid[];
  v_fair uuid[];
begin
  with place as materialized (
    select p.id, p.job_type, p.lane, p.rank, p.created_at, p.due_at
    from process_jobs.places p
    where p.id = any (p_jobs)
  ), waiting as (
    insert into process_jobs.waiting_jobs (id, job_type, lane, due_at, rank, created_at)
    select p.id, p.job_type, p.lane, p.due_at, p.rank, p.created_at from place p where p.due_at > now()
    on conflict (id) do nothing
  ), ready as (
    insert into process_jobs.ready_jobs (id, job_type, lane, rings, rank, created_at)
    select p.id, p.job_type, p.lane,
      p.id is not distinct from p_rings and set_config('process_jobs.ring', 'asked', true) = 'asked', p.rank, p.created_at
    from place p
    where p.due_at <= now() and p.rank is not null
    on conflict (id) do nothing
  )
  select array_agg(p.id), array_agg(p.id) filter (where p.due_at <= now()),
    array_agg(p.id) filter (where p.due_at <= now() and p.rank is null)
  into v_placed, v_ready, v_fair
  from place p;
  if v_fair is not null then
    perform process_jobs.place_in_turn(v_fair, p_rings);
  end if;
  if v_ready is not null and exists (select from process_jobs.marks) then
    perform process_jobs.lower_marks(v_ready);
  end if;
  if cardinality(v_placed) = cardinality(p_jobs) then
    return;
  end if;

  insert into process_jobs.failed_jobs (id, job_type, failed_at)
  select j.id, j.job_type, j.completed_at
  from public.job_queue j
  where j.id = any (p_jobs) and j.status = 'failed'
  on conflict (id) do nothing;
  -- (Offset: each key is looked up by itself.)
  delete from process_jobs.unfinished_keys k
  where k.ctid = any (array(
    select held.place
    from public.job_queue j
    cross join lateral (
      select h.ctid as place from process_jobs.unfinished_keys h
      where h.job_type = j.job_type collate "C" and h.unique_key = j.unique_key collate "C" and h.id = j.id
      offset 0
    ) held
    where j.id = any (p_jobs) and j.status in ('completed', 'failed', 'cancelled')));
end
$$;

-- ── queue/promote_jobs.sql ──

-- promote_jobs: moves jobs that have fallen due from waiting_jobs to ready_jobs, at most p_limit, the longest due first;
-- for claim_jobs. Entries that another transaction has locked are passed over.
create or replace function process_jobs.promote_jobs(p_limit int) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set enable_sort = off
set enable_bitmapscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_promoted uuid[];
  v_fair uuid[];
begin
  with due as materialized (
    select w.ctid as place
    from process_jobs.waiting_jobs w
    where w.due_at <= now() and w.due_at >= (select b.waiting_jobs from process_jobs.begins b)
    order by w.due_at
    limit p_limit
    for update skip locked
  ), promoted as (
    delete from process_jobs.waiting_jobs w
    where w.ctid = any (array(select place from due))
    returning w.id, w.job_type, w.lane, w.rank, w.created_at
  ), placed as (
    insert into process_jobs.ready_jobs (id, job_type, lane, rank, created_at)
    select p.id, p.job_type, p.lane, p.rank, p.created_at from promoted p
    where p.rank is not null
    on conflict (id) do nothing
  )
  select array_agg(p.id), array_agg(p.id) filter (where p.rank is null) into v_promoted, v_fair from promoted p;
  if v_fair is not null then
    perform process_jobs.place_in_turn(v_fair);
  end if;
  if v_promoted is not null and exists (select from process_jobs.marks) then
    perform process_jobs.lower_marks(v_promoted);
  end if;
end
$$;

-- ── queue/raise_marks.sql ──

-- raise_marks: lets the next claims of these types begin at the first entry of each lane that there is now, instead of
-- passing again and again over entries of ready_jobs that are gone, but that vacuum may not clear while a transaction is
-- open somewhere; for claim_jobs. It waits for no other session.
--
-- A mark is a hint. Of what becomes ready before it lower_marks tells; what was on its way in that very moment is found
-- when the mark is over and a claim looks from the beginning: after a second, or a hundred times as long as it took here.
create or replace function process_jobs.raise_marks(p_job_types text[]) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '20ms'
-- As in exchange_jobs.
set enable_seqscan = off
set enable_sort = off
set enable_bitmapscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_began constant timestamptz := clock_timestamp();
begin
  if not pg_try_advisory_xact_lock(hashtext('process_jobs.marks')) then
    return;
  end if;
  with first as materialized (
    select l.job_type, l.lane, coalesce(r.rank, 9223372036854775807) as rank, coalesce(r.created_at, 'infinity') as created_at,
      coalesce(r.id, 'ffffffff-ffff-ffff-ffff-ffffffffffff') as id
    from process_jobs.lanes l
    left join lateral (
      select r.rank, r.created_at, r.id
      from process_jobs.ready_jobs r
      where r.job_type = l.job_type collate "C" and r.lane = l.lane
        and (r.rank, r.created_at, r.id) >= (l.from_rank, l.from_created_at, l.from_id)
      order by r.rank, r.created_at, r.id
      limit 1
    ) r on true
    where p_job_types is null or l.handler = any (p_job_types)
  )
  insert into process_jobs.marks as m (job_type, lane, rank, created_at, id, look_at)
  select f.job_type, f.lane, f.rank, f.created_at, f.id,
    now() + greatest(interval '1 second', 100 * (clock_timestamp() - v_began))
  from first f
  on conflict (job_type, lane) do update
  set rank = excluded.rank, created_at = excluded.created_at, id = excluded.id,
    look_at = case when m.look_at > now() then m.look_at else excluded.look_at end
  where m.look_at <= now() or (m.rank, m.created_at, m.id) < (excluded.rank, excluded.created_at, excluded.id);
exception
  when lock_not_available then
    null;
end
$$;

-- ── queue/raise_time_marks.sql ──

-- raise_time_marks: does what raise_marks does for waiting_jobs and leases, whose new entries lie in the future; for
-- has_chores.
create or replace function process_jobs.raise_time_marks() returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set enable_sort = off
set enable_bitmapscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_began constant timestamptz := clock_timestamp();
begin
  if not pg_try_advisory_xact_lock(hashtext('process_jobs.marks')) then
    return;
  end if;
  with first as materialized (
    select 'leases' as place, (
        select min(l.expires_at) from process_jobs.begins b, process_jobs.leases l where l.expires_at >= b.leases) as begins_at
    union all
    select 'waiting_jobs', (
        select min(w.due_at) from process_jobs.begins b, process_jobs.waiting_jobs w where w.due_at >= b.waiting_jobs)
  )
  insert into process_jobs.time_marks as m (place, begins_at, look_at)
  select f.place, least(now(), f.begins_at), now() + greatest(interval '1 second', 100 * (clock_timestamp() - v_began))
  from first f
  on conflict (place) do update
  set begins_at = excluded.begins_at, look_at = case when m.look_at > now() then m.look_at else excluded.look_at end
  where m.look_at <= now() or m.begins_at < excluded.begins_at;
end
$$;

-- ── queue/rebuild_places.sql ──

-- rebuild_places: gives every job its place anew; returns how many were misplaced. Claims wait meanwhile.
create or replace function process_jobs.rebuild_places() returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_misplaced bigint;
begin
  lock table public.job_queue in share row exclusive mode;
  select count(*) into v_misplaced from process_jobs.misplaced_jobs();
  set constraints process_jobs.ring_at_commit immediate;
  set constraints process_jobs.ring_at_commit deferred;
  truncate process_jobs.ready_jobs, process_jobs.waiting_jobs, process_jobs.leases, process_jobs.failed_jobs,
    process_jobs.unfinished_keys, process_jobs.marks, process_jobs.time_marks, process_jobs.turns;
  insert into process_jobs.waiting_jobs (id, job_type, lane, due_at, rank, created_at)
  select p.id, p.job_type, p.lane, p.due_at, p.rank, p.created_at from process_jobs.places p where p.due_at > now();
  insert into process_jobs.ready_jobs (id, job_type, lane, rank, created_at)
  select p.id, p.job_type, p.lane, p.rank, p.created_at from process_jobs.places p
  where p.due_at <= now() and p.rank is not null;
  perform process_jobs.place_in_turn(array(
    select p.id from process_jobs.places p where p.due_at <= now() and p.rank is null));
  insert into process_jobs.leases (token, expires_at, jobs)
  select j.lease_token, min(j.lease_expires_at), array_agg(j.id)
  from public.job_queue j where j.status = 'processing' group by j.lease_token;
  insert into process_jobs.failed_jobs (id, job_type, failed_at)
  select j.id, j.job_type, j.completed_at from public.job_queue j where j.status = 'failed';
  insert into process_jobs.unfinished_keys (job_type, unique_key, id)
  select j.job_type, j.unique_key, j.id
  from public.job_queue j where j.status in ('pending', 'processing') and j.unique_key is not null;
  return v_misplaced;
end
$$;

-- ── queue/report_progress.sql ──

-- report_progress: how far an unfinished job is, told by what works for it outside; true: noted, false: it is final, does not
-- exist, or is in another life than p_life (null: any). It never goes back.
--
-- Refuses (22023) p_progress outside 0 to 100.
create or replace function public.report_progress(p_job_id uuid, p_progress int, p_life int default null) returns boolean
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  if p_progress is null or p_progress not between 0 and 100 then
    raise exception 'p_progress must be between 0 and 100, not %', coalesce(p_progress::text, 'null') using errcode = '22023';
  end if;
  update public.job_queue j
  set progress = greatest(j.progress, p_progress), updated_at = now(), moves = j.moves + 1
  where j.id = p_job_id and j.status in ('pending', 'processing') and j.life = coalesce(p_life, j.life);
  return found;
end
$$;

revoke execute on function public.report_progress(uuid, int, int) from public, anon, authenticated;
grant execute on function public.report_progress(uuid, int, int) to service_role;

-- ── queue/retry_job.sql ──

-- retry_job: gives a failed or cancelled job a new life; true: pending now, or completed, false: it is neither failed
-- nor cancelled, or does not exist.
--
-- failed, cancelled     -> pending, due now, with p_attempts more and a new age
-- failed, its completion having been refused -> completed, with the result and the follow-ups of that completion: its
--                                               work is done. It may be refused again; then the job stays failed. With
--                                               follow_ups set to null it becomes pending instead
--
-- Checkpoint, event, result and error_message are cleared, so that the next run begins anew, and life goes up, so that
-- late events of an earlier life are ignored. errors stay, and attempt_number goes on counting: for a worker this is
-- not a first attempt, so it looks for the traces of earlier lives outside before it begins. Refuses (22023) p_attempts
-- outside 1 to 100; (23505) a job whose unique_key another unfinished one has.
create or replace function public.retry_job(p_job_id uuid, p_attempts int default 3) returns boolean
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_job public.job_queue;
begin
  if p_attempts is null or p_attempts not between 1 and 100 then
    raise exception 'p_attempts must be between 1 and 100, not %', coalesce(p_attempts::text, 'null') using errcode = '22023';
  end if;

  update public.job_queue j
  set status = 'completed', error_message = null, progress = 100, completed_at = now(), updated_at = now()
  where j.id = p_job_id and j.status is not distinct from 'failed' and j.follow_ups is not null
  returning j.* into v_job;
  if found then
    perform process_jobs.enqueue_follow_ups(
      v_job.follow_ups, v_job.priority, v_job.created_by::text, v_job.notify_url, v_job.notify_user);
    return true;
  end if;

  update public.job_queue j
  set status = 'pending', scheduled_at = now(), life = j.life + 1,
    attempt_number = case when j.first_started_at is null then j.attempt_number else greatest(1, j.attempt_number) end,
    max_attempts = least(greatest(1, j.attempt_number), 2147483647 - p_attempts) + p_attempts,
    checkpoint = null, event = null, woken_at = null, cancel_requested_at = null, progress = null,
    result = null, follow_ups = null, error_message = null, started_at = null, completed_at = null, updated_at = now()
  where j.id = p_job_id and j.status in ('failed', 'cancelled');
  return found;
exception
  when unique_violation then
    raise exception 'job % cannot be retried: an unfinished job has the same unique_key', p_job_id
      using errcode = '23505';
end
$$;

revoke execute on function public.retry_job(uuid, int) from public, anon, authenticated;
grant execute on function public.retry_job(uuid, int) to service_role;

-- ── queue/retry_job_troubles.sql ──

-- retry_job_troubles: repeats the due effects of jobs that failed (job_troubles of kinds effect and notify) and the
-- cancels that failed (kind cancel), at most ten, and deletes troubles that are over; only for claim_jobs.
--
-- It updates the job's row, so that every trigger that follows jobs sees it in its present state. Another failure is
-- retried later. Troubles that another transaction has locked are skipped.
create or replace function process_jobs.retry_job_troubles() returns void
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
set lock_timeout = '20ms'
as $$
declare
  v_trouble record;
begin
  for v_trouble in
    select t.job_id, t.kind, t.tries
    from process_jobs.job_troubles t
    where t.kind in ('effect', 'cancel', 'notify') and t.retry_at <= now()
    order by t.retry_at
    limit 10
    for update skip locked
  loop
    begin
      if v_trouble.kind = 'cancel' then
        perform public.cancel_job(v_trouble.job_id);
      else
        update public.job_queue j set status = j.status where j.id = v_trouble.job_id;
      end if;
      -- Where it failed without a word, it is noted anew.
      delete from process_jobs.job_troubles t
      where t.job_id = v_trouble.job_id and t.kind = v_trouble.kind and t.tries = v_trouble.tries;
    exception
      when others then
        if sqlstate like '40%' then
          raise;
        end if;
        perform process_jobs.note_job_trouble(v_trouble.job_id, v_trouble.kind, sqlerrm);
    end;
  end loop;
  delete from process_jobs.job_troubles t
  where (t.job_id, t.kind) in (
    select over.job_id, over.kind
    from process_jobs.job_troubles over
    where over.kind not in ('effect', 'cancel', 'notify') and over.retry_at <= now() - interval '10 minutes'
    for update skip locked
  );
end
$$;

-- ── queue/seconds_until_next_job.sql ──

-- seconds_until_next_job: the time until claim_next_job has something to do; 0: now, null: no pending job may run.
--
-- Considers the types asked for (null: all in job_types) and the jobs that claim_next_job would take of them: held ones
-- when the hold ends, those that wait for a start when there is one. An expired lease counts as now whatever its type,
-- because every claim takes it back. Troubles of kind claim, effect and cancel count from their retry_at. Half a second after
-- a ring there may be what was left to it (ring_at_commit). Reads six index entries per type.
create or replace function public.seconds_until_next_job(p_job_types text[] default null) returns double precision
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set enable_sort = off
set enable_incremental_sort = off
set enable_bitmapscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  if exists (select from process_jobs.lost_jobs) then
    return 0;
  end if;
  return (select greatest(0, extract(epoch from next.at - now())) from (select least(
    (
      select min(greatest(next.due_at, l.opens_at, now() + make_interval(secs => (1 - l.available_starts) / l.starts_per_minute * 60)))
      from process_jobs.lanes l
      cross join lateral (
        (
          select now() as due_at
          from process_jobs.ready_jobs r
          where r.job_type = l.job_type collate "C" and r.lane = l.lane
            and (r.rank, r.created_at, r.id) >= (l.from_rank, l.from_created_at, l.from_id)
            and not exists (
              select from process_jobs.job_troubles b where b.job_id = r.id and b.kind = 'claim' and b.retry_at > now())
          order by r.rank, r.created_at, r.id
          limit 1
        )
        union all
        (
          select w.due_at
          from process_jobs.begins b, process_jobs.waiting_jobs w
          where w.job_type = l.job_type collate "C" and w.lane = l.lane and w.due_at >= b.waiting_jobs
            and not exists (
              select from process_jobs.job_troubles b where b.job_id = w.id and b.kind = 'claim' and b.retry_at > now())
          order by w.due_at, w.id
          limit 1
        )
      ) next
      where (p_job_types is null or l.handler = any (p_job_types)) and l.opens_at < 'infinity'
    ),
    (select min(b.retry_at) from process_jobs.job_troubles b where b.kind in ('effect', 'cancel', 'notify') or b.kind = 'claim' and b.retry_at > now()),
    (
      select to_timestamp(r.last_value / 1000.0) + interval '500 milliseconds'
      from process_jobs.last_ring r
      where r.last_value > extract(epoch from now()) * 1000 - 500
    )
  ) offset 0) next (at) where next.at is not null);
end
$$;

revoke execute on function public.seconds_until_next_job(text[]) from public, anon, authenticated;
grant execute on function public.seconds_until_next_job(text[]) to service_role;

-- ── queue/settle_jobs.sql ──

-- settle_jobs: records outcomes in one statement, for exchange_jobs and settle_one. The headers of complete_job,
-- snooze_job and cancel_job describe each outcome. Returns for each, in order: true: recorded, false: the job is not the
-- caller's any more, is final already, or does not exist, and nothing changed.
--
-- p_outcomes  a json array of objects with "job_id", "lease_token" and "outcome":
--   completed  "result", "follow_ups"
--   failed     "error", "error_kind", "retry": "backoff" (default) or "never", "unrecorded": {"result", "follow_ups"} of a
--              refused completion, kept for retry_job
--   snoozed    "delay_seconds", "checkpoint", "progress", "hold_job_type", "pause_reason"
--   cancelled
--   each       "usage", recorded also where the outcome is not (record_usage)
--
-- Where the columns go, by the status that comes of an outcome:
--
--                   completed     failed               failed, again       snoozed                  cancelled
--   status          completed     failed               pending             pending                  cancelled
--   attempt_number  same          same                 same                one less                 same
--   scheduled_at    same          same                 after the backoff   delay; now if woken      same
--   checkpoint      same          same                 same                new, or same             same
--   progress        100           same                 same                new, or same             same
--   started_at      same          same                 same                null without checkpoint  same
--   result          new           unrecorded's         same                same                     same
--   error_message   null          new                  new                 same                     same, or new
--   errors          same          one more             one more            same                     same, or one more
--   event           null          null                 same                same                     null
--   completed_at    now           now                  null                null                     now
--
-- All give the lease back. A job that is to be cancelled is `cancelled` where it would be completed or failed.
--
-- Of two outcomes with the same token one counts. Refuses (22023) all outcomes if one is out of the bounds of
-- those functions' arguments. Locks jobs in the order of their ids, then generations, then types. The caller's settings
-- leave the planner one plan (exchange_jobs).
create or replace function process_jobs.settle_jobs(p_outcomes jsonb) returns boolean[]
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
as $$
declare
  -- Of the column's type, which may be an app's own.
  v_pending constant public.job_queue.status%type := 'pending';
  v_completed constant public.job_queue.status%type := 'completed';
  v_failed constant public.job_queue.status%type := 'failed';
  v_cancelled constant public.job_queue.status%type := 'cancelled';
  v_count constant int := jsonb_array_length(p_outcomes);
  v_numbers bigint[];
  v_moved uuid[];
  v_rest jsonb;
  v_wait record;
begin
  if v_count = 0 then
    return '{}';
  end if;
  -- As in claim_jobs.
  set constraints all immediate;
  if jsonb_path_exists(p_outcomes, '$[*] ? (@.type() != "object")') then
    perform process_jobs.check_outcomes(p_outcomes);
  end if;
  if jsonb_path_exists(p_outcomes, '$[*].usage') then
    perform process_jobs.record_usage(p_outcomes);
  end if;

  with settled as (
    update public.job_queue j
    set status = case
        when o.is_snoozed or o.may_retry and j.attempt_number < j.max_attempts then v_pending
        when o.outcome = 'cancelled' or j.cancel_requested_at is not null then v_cancelled
        when o.is_failed then v_failed
        else v_completed
      end,
      attempt_number = case when o.is_snoozed then greatest(0, j.attempt_number - 1) else j.attempt_number end,
      scheduled_at = case
        when o.is_snoozed and j.woken_at is null then now() + make_interval(secs => o.delay_seconds)
        when o.is_snoozed then now()
        when o.may_retry and j.attempt_number < j.max_attempts then now() + process_jobs.backoff(j.job_type, j.attempt_number)
        else j.scheduled_at
      end,
      checkpoint = case when o.is_snoozed then coalesce(o.checkpoint, j.checkpoint) else j.checkpoint end,
      progress = case
        when o.is_completed and j.cancel_requested_at is null then 100
        when o.is_snoozed then coalesce(o.progress, j.progress)
        else j.progress
      end,
      started_at = case
        when not o.is_snoozed or coalesce(o.checkpoint, j.checkpoint) is not null then j.started_at
      end,
      result = case
        when o.is_completed and j.cancel_requested_at is null then o.result
        when o.is_failed and not (o.may_retry and j.attempt_number < j.max_attempts) and j.cancel_requested_at is null
          then o.unrecorded -> 'result'
        else j.result
      end,
      follow_ups = case
        when o.is_failed and not (o.may_retry and j.attempt_number < j.max_attempts) and j.cancel_requested_at is null
          and o.unrecorded is not null then coalesce(o.unrecorded -> 'follow_ups', '[]')
      end,
      error_message = case
        when o.is_completed then null
        when o.is_failed then left(o.error, 2000)
        else j.error_message
      end,
      errors = case
        when o.is_failed then j.errors || jsonb_build_object(
          'attempt', j.attempt_number, 'at', now(), 'kind', left(coalesce(o.error_kind, 'error'), 100),
          'message', left(o.error, 2000))
        else j.errors
      end,
      event = case
        when o.is_snoozed or o.may_retry and j.attempt_number < j.max_attempts then j.event
      end,
      completed_at = case
        when o.is_snoozed or o.may_retry and j.attempt_number < j.max_attempts then null
        else now()
      end,
      lease_token = null, lease_expires_at = null, updated_at = now(),
      -- A job put back by hand has a place, which keep_places changes; one with a notify_url notifies there, unless it
      -- hands that on.
      moves = j.moves + case
        when j.status = 'processing' and (
          j.notify_url is null or o.is_completed and o.follow_ups <> '[]' and j.cancel_requested_at is null) then 1
        else 0
      end
    from (
      select o.*, o.outcome = 'completed' as is_completed, o.outcome = 'failed' as is_failed, o.outcome = 'snoozed' as is_snoozed,
        o.outcome = 'failed' and o.retry is distinct from 'never' as may_retry
      from rows from (
        jsonb_to_recordset(p_outcomes) as (
          outcome text, job_id uuid, lease_token uuid, result jsonb, follow_ups jsonb, error text, error_kind text,
          retry text, delay_seconds double precision, checkpoint jsonb, progress int, hold_job_type boolean,
          pause_reason text, unrecorded jsonb)
      ) with ordinality o
      -- What check_outcomes does not refuse.
      where (o.follow_ups is null or jsonb_typeof(o.follow_ups) = 'array')
        and (o.retry is null or o.retry in ('backoff', 'never'))
        and (o.progress is null or o.progress between 0 and 100)
        and case o.outcome
          when 'failed' then o.error <> ''
          when 'snoozed' then o.delay_seconds between 0 and 2592000 and process_jobs.json_refusal('p_checkpoint', o.checkpoint) is null
          else o.outcome in ('completed', 'cancelled')
        end
      order by o.job_id
    ) o
    -- (Not =, which would let a planner that takes the table for empty go through all of it, in the order of its key.)
    where j.id = any (array[o.job_id]) and j.lease_token = o.lease_token and j.status in ('processing', 'pending')
    returning case when j.lease_token is null then o.ordinality end as ordinality,
      case when j.status in ('pending', 'failed') or j.unique_key is not null then j.id end as moved,
      case when j.status = 'completed' and o.follow_ups <> '[]' then jsonb_build_object(
          'follow_ups', o.follow_ups, 'priority', j.priority, 'created_by', j.created_by,
          'notify_url', j.notify_url, 'notify_user', j.notify_user)
        when o.is_snoozed and (o.hold_job_type or o.pause_reason is not null) then jsonb_build_object(
          'job_type', j.job_type, 'begun', j.checkpoint is not null, 'pause_reason', o.pause_reason,
          'held_seconds', case when o.hold_job_type then o.delay_seconds end)
      end as rest
  )
  select array_agg(s.ordinality), array_agg(s.moved) filter (where s.moved is not null),
    jsonb_agg(s.rest) filter (where s.rest is not null)
  into v_numbers, v_moved, v_rest
  from settled s;

  if array_position(v_numbers, null) is not null then
    raise exception 'a trigger of job_queue lets its row be as it is' using errcode = 'P0001';
  end if;
  if v_moved is not null then
    perform process_jobs.place_jobs(v_moved);
  end if;
  if v_rest is not null then
    perform process_jobs.enqueue_follow_ups(
      r.follow_ups, r.priority, r.created_by, r.notify_url, r.notify_user)
    from jsonb_to_recordset(v_rest) r (
      follow_ups jsonb, priority int, created_by text, notify_url text, notify_user text)
    where r.follow_ups is not null;
    for v_wait in
      select r.job_type, r.begun, r.held_seconds, r.pause_reason
      from jsonb_to_recordset(v_rest) r (job_type text, begun boolean, held_seconds double precision, pause_reason text)
      where r.job_type is not null
      order by r.job_type
    loop
      update public.job_types t
      set held_until = case
          when v_wait.begun then t.held_until
          else greatest(t.held_until, now() + make_interval(secs => v_wait.held_seconds))
        end,
        begun_held_until = case
          when v_wait.begun then greatest(t.begun_held_until, now() + make_interval(secs => v_wait.held_seconds))
          else t.begun_held_until
        end
      where t.job_type = v_wait.job_type and v_wait.held_seconds is not null;
      if v_wait.pause_reason is not null then
        perform public.pause_job_type(v_wait.job_type, v_wait.pause_reason);
      end if;
    end loop;
  end if;

  if cardinality(v_numbers) = v_count then
    return array_fill(true, array[v_count]);
  end if;
  perform process_jobs.check_outcomes(p_outcomes);
  return array(select n = any (v_numbers) is true from generate_series(1, v_count) n order by n);
end
$$;

-- ── queue/settle_one.sql ──

-- settle_one: records one outcome, as for settle_jobs, for complete_job, snooze_job and cancel_job.
create or replace function process_jobs.settle_one(p_outcome jsonb) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set enable_sort = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_generic_plan
set lock_timeout = '300ms'
as $$
begin
  return (process_jobs.settle_jobs(jsonb_build_array(p_outcome)))[1];
end
$$;

-- ── queue/snooze_job.sql ──

-- snooze_job: parks a claimed job and gives its attempt back; true: recorded, false: the job is not the caller's any
-- more, is final already, or does not exist.
--
-- processing (or put back by hand, still with this token) -> pending, due in p_delay_seconds, attempt_number - 1;
-- due now if wake_job or cancel_job came after the claim, because the run has not seen that yet
--
-- p_delay_seconds  0 to 2592000 (30 days)
-- p_checkpoint     the state for the next run; null keeps the stored one
-- p_progress       0 to 100; null keeps the stored one
-- p_hold_job_type  true: no job of this type begins for p_delay_seconds, or, if this one has begun, no job of this type
--                  that has begun continues (a longer hold stays)
-- p_pause_reason   not null: no job of this type begins until resume_job_type
-- p_usage          as for complete_job
--
-- A job that waits without a checkpoint has not begun: started_at becomes null, so that the wait does not count toward
-- its age. Refuses (22023) arguments out of these bounds.
create or replace function public.snooze_job(
  p_job_id uuid,
  p_lease_token uuid,
  p_delay_seconds double precision,
  p_checkpoint jsonb default null,
  p_progress int default null,
  p_hold_job_type boolean default false,
  p_pause_reason text default null,
  p_usage jsonb default null
) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_job_id is null or p_lease_token is null then
    return false;
  end if;
  return process_jobs.settle_one(jsonb_build_object(
    'outcome', 'snoozed', 'job_id', p_job_id, 'lease_token', p_lease_token, 'delay_seconds', p_delay_seconds,
    'checkpoint', p_checkpoint, 'progress', p_progress, 'hold_job_type', p_hold_job_type,
    'pause_reason', p_pause_reason)
    || case when p_usage is null then '{}' else jsonb_build_object('usage', p_usage) end);
end
$$;

revoke execute on function public.snooze_job(uuid, uuid, double precision, jsonb, int, boolean, text, jsonb) from public, anon, authenticated;
grant execute on function public.snooze_job(uuid, uuid, double precision, jsonb, int, boolean, text, jsonb) to service_role;

-- ── queue/sweep_leases.sql ──

-- sweep_leases: looks at the claims whose time has come: forgets those whose jobs are all settled, and puts off those with a
-- job at work until the first of their leases ends. Where it has found some it looks at a hundred more whose time is still
-- to come, so that the next claims need not. For do_chores; claims that another session looks at are passed over.
create or replace function process_jobs.sweep_leases() returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set enable_sort = off
set enable_bitmapscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_until timestamptz := now();
  v_over uuid[];
  v_later jsonb;
  v_done int;
begin
  loop
    select array_agg(c.token) filter (where c.ends_at is null),
      jsonb_agg(jsonb_build_object('token', c.token, 'ends_at', c.ends_at)) filter (where c.expires_at <= now() and c.ends_at > now())
    into v_over, v_later
    from (
      select l.token, l.expires_at, (
          select min(j.lease_expires_at)
          from public.job_queue j
          where j.id = any (l.jobs) and j.status = 'processing' and j.lease_token = l.token
        ) as ends_at
      from (
        select l.token, l.expires_at, l.jobs
        from process_jobs.begins b, process_jobs.leases l
        where l.expires_at <= v_until and l.expires_at >= b.leases
        order by l.expires_at
        limit 100
        for update of l skip locked
      ) l
    ) c;
    delete from process_jobs.leases l where l.token = any (v_over);
    update process_jobs.leases l
    set expires_at = c.ends_at
    from jsonb_to_recordset(v_later) c (token uuid, ends_at timestamptz)
    where l.token = c.token;
    v_done := coalesce(cardinality(v_over), 0) + coalesce(jsonb_array_length(v_later), 0);
    exit when v_done = 0 or v_until = 'infinity';
    -- Where fewer were, what is left is somebody's, or lost and to be taken back.
    if v_done < 100 then
      v_until := 'infinity';
    end if;
  end loop;
end
$$;

-- ── queue/take_back_jobs.sql ──

-- take_back_jobs: puts jobs whose lease has expired back, at most 100, the longest expired first; for claim_jobs, which
-- has the turn.
--
-- attempts left   -> pending, ready now, one entry more in errors
-- attempts spent  -> failed, or cancelled where that was asked for
--
-- Jobs that somebody holds are passed over; one that cannot be put back is that job's trouble.
create or replace function process_jobs.take_back_jobs() returns void
language plpgsql
security definer
-- Triggers of the app's own are fired here, and look for what they name where they always did.
set search_path = pg_catalog, public, extensions, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
set plan_cache_mode = force_generic_plan
set lock_timeout = '20ms'
as $$
declare
  v_lease_expired constant text := 'lease expired on attempt %s of %s: %s';
  -- Of the column's type, which may be an app's own.
  v_pending constant public.job_queue.status%type := 'pending';
  v_cancelled constant public.job_queue.status%type := 'cancelled';
  v_failed constant public.job_queue.status%type := 'failed';
  v_picked uuid[];
  v_part uuid[];
  v_count bigint;
begin
  begin
    select array_agg(expired.id) into v_picked
    from (
      select locked.id
      from (select l.id from process_jobs.lost_jobs l order by l.lease_expires_at limit 100) lost
      cross join lateral (
        select j.id from public.job_queue j
        where j.id = lost.id and j.status is not distinct from 'processing' and j.lease_expires_at <= now()
        for update skip locked
      ) locked
    ) expired;
  exception
    when lock_not_available then
      return;
  end;
  -- All at once; only where that is refused, one by one.
  for v_n in 0 .. coalesce(cardinality(v_picked), 0) loop
    v_part := case when v_n = 0 then v_picked else v_picked[v_n:v_n] end;
    begin
      update public.job_queue j
      set (status, errors, error_message, completed_at, event) = (
          select
            case
              when j.attempt_number < j.max_attempts then v_pending
              when j.cancel_requested_at is not null then v_cancelled
              else v_failed
            end,
            j.errors || jsonb_build_object(
              'attempt', j.attempt_number, 'at', now(), 'kind', 'lease_expired', 'message', why.message),
            why.message,
            case when j.attempt_number < j.max_attempts then null else now() end,
            case when j.attempt_number < j.max_attempts then j.event end
          from (
            select format(v_lease_expired, j.attempt_number, j.max_attempts, coalesce(
              (
                select 'what the run came to could not be recorded: ' || b.message
                from process_jobs.job_troubles b
                where b.job_id = j.id and b.kind = 'settle' and b.lease_token = j.lease_token
              ),
              'the worker was killed or lost'))
          ) why (message)
        ),
        lease_token = null, lease_expires_at = null, updated_at = now(),
        -- As in settle_jobs.
        moves = j.moves + case when j.notify_url is null then 1 else 0 end
      where j.id = any (v_part);
      get diagnostics v_count = row_count;
      if v_count < cardinality(v_part) then
        raise exception 'a trigger of job_queue lets its row be as it is' using errcode = 'P0001';
      end if;
      perform process_jobs.place_jobs(v_part);
      exit when v_n = 0;
    exception
      when others then
        if process_jobs.is_server_state(sqlstate) then
          raise;
        elsif v_n > 0 then
          perform process_jobs.note_job_trouble(v_part[1], 'claim', 'it cannot be taken back from a lost worker: ' || sqlerrm);
        end if;
    end;
  end loop;
end
$$;

-- ── queue/take_out.sql ──

-- take_out: a job that is deleted or changed by hand has no place any more; for keep_places.
create or replace function process_jobs.take_out(p_job public.job_queue) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_job.status = 'pending' then
    delete from process_jobs.waiting_jobs w where w.id = p_job.id;
    delete from process_jobs.ready_jobs r where r.id = p_job.id;
  elsif p_job.status = 'failed' then
    delete from process_jobs.failed_jobs f where f.id = p_job.id;
  end if;
  if p_job.unique_key is not null then
    delete from process_jobs.unfinished_keys k
    where k.job_type = p_job.job_type collate "C" and k.unique_key = p_job.unique_key collate "C" and k.id = p_job.id;
  end if;
end
$$;

-- ── queue/take_turn.sql ──

-- take_turn: takes, until the end of the transaction, the turn of claims that count starts or take back expired leases;
-- true: the caller has it. Only for claim_jobs and exchange_jobs.
--
-- It is taken before any lock of a row, or without waiting: p_waits false returns false if another session has it. A
-- turn that does not come within 5 s is an error (55P03).
create or replace function process_jobs.take_turn(p_waits boolean) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '5s'
as $$
declare
  v_turn constant int := hashtext('claim_next_job: turns');
begin
  if not p_waits then
    return pg_try_advisory_xact_lock(v_turn);
  end if;
  perform pg_advisory_xact_lock(v_turn);
  return true;
end
$$;

-- ── queue/time_or_null.sql ──

-- time_or_null: the time that a text says, or null if it says none.
create or replace function process_jobs.time_or_null(p_text text) returns timestamptz
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return p_text::timestamptz;
exception
  when data_exception then
    return null;
end
$$;

-- ── queue/wake_job.sql ──

-- wake_job: records an event from outside for a job and wakes it; true: it is due now, false: it is final, does not
-- exist, is in another life than p_life (null: any), or has this event already.
--
-- pending     -> due now, whatever it waits for; once it has begun, even during a hold of its type
-- processing  -> continues; if its run parks it, which cannot have seen the event, it is due at once
--
-- p_usage is as for complete_job: recorded whatever the answer is.
-- p_event is kept until the next one or the job's end, and returned with every claim: the run decides its meaning.
-- Refuses (22023) one that is not a json object, or is larger or deeper than a payload may be.
create or replace function public.wake_job(p_job_id uuid, p_event jsonb, p_life int default null, p_usage jsonb default null) returns boolean
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_refusal text := process_jobs.json_refusal('p_event', p_event);
begin
  if p_event is null or jsonb_typeof(p_event) <> 'object' then
    raise exception 'p_event must be a json object, not %', coalesce(jsonb_typeof(p_event), 'null')
      using errcode = '22023';
  elsif v_refusal is not null then
    raise exception '%', v_refusal using errcode = '22023';
  end if;

  if p_usage is not null then
    perform process_jobs.record_usage(jsonb_build_array(jsonb_build_object('job_id', p_job_id, 'usage', p_usage)));
  end if;
  update public.job_queue j
  set event = p_event,
    scheduled_at = case
      when j.status = 'pending' then least(j.scheduled_at, greatest(now(), j.lease_expires_at))
      else j.scheduled_at
    end,
    woken_at = now(), updated_at = now()
  where j.id = p_job_id and j.status in ('pending', 'processing')
    and j.life = coalesce(p_life, j.life) and j.event is distinct from p_event;
  return found;
end
$$;

revoke execute on function public.wake_job(uuid, jsonb, int, jsonb) from public, anon, authenticated;
grant execute on function public.wake_job(uuid, jsonb, int, jsonb) to service_role;

-- ── policy/available_starts.sql ──

-- available_starts: the number of jobs of a type with starts_per_minute that may begin now, including a fraction; only
-- for claim_next_job and seconds_until_next_job.
--
-- A token bucket: it holds a tenth of starts_per_minute, at least one, and fills evenly.
create or replace function process_jobs.available_starts(p_type public.job_types) returns double precision
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return least(
    greatest(1, p_type.starts_per_minute / 10),
    coalesce(
      p_type.start_tokens + extract(epoch from now() - p_type.start_tokens_at) * p_type.starts_per_minute / 60,
      'infinity'));
end
$$;

-- ── policy/keep_ranks.sql ──

-- keep_ranks: triggers on job_types: where a type with priority_ages_seconds or a fair_key comes or goes, or that changes,
-- its jobs get their places anew, and claims wait meanwhile.
create or replace function process_jobs.keep_ranks() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- Its places are found by the type, whatever the statistics say.
set enable_seqscan = off
as $$
declare
  v_job_types constant text[] := array[old.job_type, new.job_type];
  v_jobs uuid[];
begin
  lock table process_jobs.ready_jobs, process_jobs.waiting_jobs in share row exclusive mode;
  with ready as (
    delete from process_jobs.ready_jobs r where r.job_type = any (v_job_types) returning r.id
  ), waiting as (
    delete from process_jobs.waiting_jobs w where w.job_type = any (v_job_types) returning w.id
  )
  select array_agg(p.id) into v_jobs from (select r.id from ready r union all select w.id from waiting w) p;
  delete from process_jobs.turns t where t.job_type = any (v_job_types);
  delete from process_jobs.marks m where m.job_type = any (v_job_types);
  perform process_jobs.place_jobs(v_jobs);
  return null;
end
$$;
create or replace trigger process_jobs_keep_ranks
  after update of job_type, priority_ages_seconds, fair_key on public.job_types
  for each row when (
    (new.priority_ages_seconds, new.fair_key) is distinct from (old.priority_ages_seconds, old.fair_key)
    or new.job_type <> old.job_type and num_nonnulls(new.priority_ages_seconds, new.fair_key) > 0)
  execute function process_jobs.keep_ranks();
create or replace trigger process_jobs_keep_ranks_of_new
  after insert on public.job_types
  for each row when (num_nonnulls(new.priority_ages_seconds, new.fair_key) > 0) execute function process_jobs.keep_ranks();
create or replace trigger process_jobs_keep_ranks_of_gone
  after delete on public.job_types
  for each row when (num_nonnulls(old.priority_ages_seconds, old.fair_key) > 0) execute function process_jobs.keep_ranks();

-- ── policy/lanes.sql ──

-- lanes: the lanes of each type (places.sql), and what is so of their jobs now.
--
-- opens_at           from when on they may be claimed: infinity while the type is paused, -infinity if nothing holds them
-- starts_per_minute, available_starts  of lane 0, whose jobs begin; null: no limit
-- is_fair            its jobs have turns
-- is_called          whether their type's row names a function
-- lease_seconds      their type's
-- from_…             where in ready_jobs_order to look for the first: at the lane's mark, or before all
create or replace view process_jobs.lanes as
select t.job_type, lane.lane::smallint as lane, lane.opens_at <= now() as is_open, lane.opens_at, lane.starts_per_minute,
  case when lane.starts_per_minute is not null then process_jobs.available_starts(t) end as available_starts,
  t.priority_ages_seconds,
  coalesce(m.rank, -9223372036854775808) as from_rank,
  coalesce(m.created_at, '-infinity') as from_created_at,
  coalesce(m.id, '00000000-0000-0000-0000-000000000000') as from_id,
  t.fair_key is not null and lane.lane = 0 as is_fair,
  t.handler, t.call_function is not null as is_called, t.lease_seconds
from public.job_types t
cross join lateral (values
  (0, case when t.paused_at is null then coalesce(t.held_until, '-infinity') else 'infinity' end, t.starts_per_minute),
  (1, coalesce(t.begun_held_until, '-infinity'), null),
  (2, '-infinity', null)
) lane (lane, opens_at, starts_per_minute)
left join process_jobs.marks m on m.job_type = t.job_type collate "C" and m.lane = lane.lane and m.look_at > now();

-- ── policy/pause_job_type.sql ──

-- pause_job_type: lets no job of the type begin until resume_job_type; true: paused now, false: it was paused already
-- and keeps its time and reason.
--
-- Running jobs and jobs that have begun continue, so that paid work is fetched while it can be. p_reason is for people
-- and cut to 2000 characters. Refuses (22023) a type without a row in job_types and an empty reason.
create or replace function public.pause_job_type(p_job_type text, p_reason text) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_reason is null or p_reason = '' then
    raise exception 'p_reason must not be empty' using errcode = '22023';
  end if;
  update public.job_types t
  set paused_at = now(), paused_reason = left(p_reason, 2000)
  where t.job_type = p_job_type and t.paused_at is null;
  if found then
    return true;
  end if;
  if not exists (select from public.job_types t where t.job_type = p_job_type) then
    raise exception 'unknown job type "%": job_types has no row for it', left(p_job_type, 200) using errcode = '22023';
  end if;
  return false;
end
$$;

revoke execute on function public.pause_job_type(text, text) from public, anon, authenticated;
grant execute on function public.pause_job_type(text, text) to service_role;

-- ── policy/resume_job_type.sql ──

-- resume_job_type: ends a pause; true: resumed now, false: it was not paused.
--
-- The age of jobs that waited without having begun starts anew: started_at becomes null. A hold (held_until) stays and
-- ends by itself. Refuses (22023) a type without a row in job_types.
create or replace function public.resume_job_type(p_job_type text) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update public.job_queue j
  set started_at = null
  where j.id in (
      select r.id from process_jobs.ready_jobs r where r.job_type = p_job_type collate "C" and r.lane = 0
      union all
      select w.id from process_jobs.waiting_jobs w where w.job_type = p_job_type collate "C" and w.lane = 0
    )
    and j.status is not distinct from 'pending' and j.checkpoint is null and j.started_at is not null
    and exists (select from public.job_types t where t.job_type = p_job_type and t.paused_at is not null);
  update public.job_types t
  set paused_at = null, paused_reason = null
  where t.job_type = p_job_type and t.paused_at is not null;
  if found then
    perform process_jobs.ring();
    return true;
  end if;
  if not exists (select from public.job_types t where t.job_type = p_job_type) then
    raise exception 'unknown job type "%": job_types has no row for it', left(p_job_type, 200) using errcode = '22023';
  end if;
  return false;
end
$$;

revoke execute on function public.resume_job_type(text) from public, anon, authenticated;
grant execute on function public.resume_job_type(text) to service_role;

-- ── images/apply_image_job.sql ──

-- apply_image_job: trigger on job_queue. A change of an image job changes its generation in the same transaction.
--
--   job                                    generation
--   generate-image inserted                queued
--   generate-image processing              processing; checkpoint.prediction_id -> replicate_prediction_id
--   generate-image completed with a result.prediction_id
--                                          processing; result.prediction_id -> replicate_prediction_id
--   download-image inserted or processing  downloading
--   download-image completed with a result.storage_path, or a list of them in result.images
--                                          completed, and a row in images for each
--   failed, cancelled                      the same, with the job's error_message
--   pending again                          stays; checkpoint.prediction_id -> replicate_prediction_id
--   pending again after it had ended       as when it was inserted
--
-- A completed generation stays completed. A payload without a usable generation_id and user_id changes no generation. A
-- job that has begun nothing is refused, with the tables' error, if its generation cannot be written: its picture could
-- not be recorded, so it must not be paid for. Any other row that the tables refuse, or, unless the job ends, that
-- another session has locked, does not hinder the job: the generation follows later (job_troubles, retry_job_troubles).
-- If a job ends while another session has locked its generation, or a stored picture cannot be recorded, the settle is
-- refused. A job with a cancel request changes its generation only when it ends.
--
-- If generate-image ends before its prediction, a job watches that (watch_prediction).
--
-- Its progress is that of the model for nine tenths, told by the model's log or else by the time that has passed of its
-- usual time (model_times), and that of the download from there on: models take tens of seconds, downloads a few. It
-- moves when a look at the prediction parks the job, and is 100 when the generation is completed.
--
-- Rows that a restore inserts, whose times are not of now, change nothing.
create or replace function process_jobs.apply_image_job() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_downloads boolean := new.job_type = 'download-image';
  v_prediction_id text := coalesce(new.result ->> 'prediction_id', new.checkpoint ->> 'prediction_id');
  v_ends boolean := new.status in ('failed', 'cancelled');
  v_begins boolean := new.job_type = 'generate-image' and new.checkpoint is null
    and (tg_op = 'INSERT' or new.status = 'processing' and old.first_started_at is null);
  v_follows_later boolean := false;
  v_id_pattern constant text := '^[A-Za-z0-9_-]{1,128}$';
  v_is_theirs boolean := false;
  v_progress int := case
    when new.status not in ('pending', 'processing') then null
    when v_downloads then 90 + coalesce(new.progress, 0) * 9 / 100
    else new.progress * 9 / 10
  end;
begin
  if new.job_type not in ('generate-image', 'download-image')
    or tg_op = 'INSERT' and new.created_at <> now() and new.updated_at <> now()
  then
    return null;
  end if;
  -- Not cancelled yet: it will be put back (keep_places).
  if tg_op = 'UPDATE' and process_jobs.is_wish_to_cancel(old, new) then
    return null;
  end if;
  if tg_op = 'UPDATE' and new.status = old.status and new.checkpoint is not distinct from old.checkpoint then
    v_follows_later := exists (select from process_jobs.job_troubles t where t.job_id = new.id and t.kind = 'effect');
    if not v_follows_later and (v_progress is null or new.progress is not distinct from old.progress) then
      return null;
    end if;
  end if;
  if (new.payload ->> 'generation_id' ~ v_id_pattern and new.payload ->> 'user_id' ~ v_id_pattern) is not true
    or new.cancel_requested_at is not null and not v_ends
  then
    return null;
  end if;

  if v_ends and v_prediction_id is not null and new.job_type = 'generate-image' and new.status is distinct from old.status then
    perform process_jobs.watch_prediction(new.id, new.life, v_prediction_id);
  end if;
  if new.status = 'completed' and v_downloads then
    if jsonb_typeof(new.result -> 'images') = 'array' then
      perform process_jobs.record_images(new.id, new.payload, new.result -> 'images');
    elsif new.result ->> 'storage_path' is not null then
      perform process_jobs.record_images(new.id, new.payload, jsonb_build_array(new.result));
    end if;
    return null;
  end if;

  if new.status = 'completed' and old.status <> 'completed' then
    perform process_jobs.note_model_time(
      new.payload ->> 'model_id', process_jobs.plain_number(new.result -> 'predict_seconds'));
  elsif v_progress is null and new.status = 'pending' and v_prediction_id is not null then
    v_progress := (
      select 90 * least(1, extract(epoch from now() - new.started_at) / t.seconds)
      from process_jobs.model_times t
      where t.model = new.payload ->> 'model_id');
  end if;
  -- A person has brought it back: it counts as under way again.
  if tg_op = 'UPDATE' and new.status = 'pending' and old.status in ('failed', 'cancelled') then
    update process_jobs.requests r set ended_at = null
    where r.generation_id = new.payload ->> 'generation_id' and r.ended_at is not null;
  end if;

  begin
    if v_ends then
      perform process_jobs.set_generation_status(new.payload, new.status::text, new.error_message, v_prediction_id, true);
    elsif v_downloads then
      perform process_jobs.set_generation_status(new.payload, 'downloading', null, v_prediction_id, false, v_progress);
    -- A completed one has no checkpoint to tell where its prediction was found already done.
    elsif new.status = 'processing' or v_prediction_id is not null then
      v_is_theirs := not process_jobs.set_generation_status(new.payload, 'processing', null, v_prediction_id, false, v_progress);
    elsif new.status = 'pending' and (tg_op = 'INSERT' or old.status in ('failed', 'cancelled') or v_follows_later) then
      v_is_theirs := not process_jobs.set_generation_status(new.payload, 'queued', null, null, false);
    end if;
    if v_begins and v_is_theirs then
      raise exception 'generation % belongs to another user than %', new.payload ->> 'generation_id', new.payload ->> 'user_id';
    end if;
  exception
    when others then
      if process_jobs.is_server_state(sqlstate) or (v_ends and sqlstate like '55%')
        or (v_begins and sqlstate not like '55%')
      then
        raise;
      end if;
      perform process_jobs.note_job_trouble(new.id, 'effect', 'its generation stays as it is: ' || sqlerrm);
  end;
  return null;
end
$$;

create or replace trigger process_jobs_follow
  after insert or update of status, checkpoint, progress on public.job_queue
  for each row
  -- (Short, because each statement that claims or settles parses it anew.)
  when (new.job_type like '%-image')
  execute function process_jobs.apply_image_job();

-- ── images/cancel_jobs_of_generation.sql ──

-- cancel_jobs_of_generation: trigger on image_generations. If the app sets a generation to failed or cancelled, its
-- jobs are cancelled: nothing more is paid for it, and no picture appears after it.
--
-- A job that another transaction has locked is cancelled later (job_troubles of kind cancel); if its picture is just
-- being recorded, the picture is not written.
create or replace function process_jobs.cancel_jobs_of_generation() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job_id uuid;
begin
  if coalesce(current_setting('process_jobs.writes', true), '') = 'on' then
    return null;
  end if;
  for v_job_id in
    select j.id
    from public.job_queue j
    where j.payload ->> 'generation_id' = new.id::text and j.status in ('pending', 'processing')
      and j.job_type in ('generate-image', 'download-image')
  loop
    begin
      perform from public.job_queue j where j.id = v_job_id for update nowait;
      perform public.cancel_job(v_job_id);
    exception
      when others then
        if process_jobs.is_server_state(sqlstate) then
          raise;
        end if;
        perform process_jobs.note_job_trouble(v_job_id, 'cancel', 'its generation was ended by the app: ' || sqlerrm);
    end;
  end loop;
  return null;
end
$$;

-- ── images/fitting_columns.sql ──

-- fitting_columns: the entries of {column: value} whose columns a table has and lets be written, each as SQL: its name,
-- and its value as a literal of its type.
--
-- A null becomes `default` in a column that does not allow null. Numbers are rounded for integer columns, and left out
-- if those cannot hold them; prompts and messages are cut to a varchar's length.
create or replace function process_jobs.fitting_columns(p_table text, p_values jsonb)
returns table (name text, literal text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- In plpgsql, which keeps its plan; in SQL each call would plan anew.
  return query
  select quote_ident(a.attname),
    case
      when v.value = 'null' then case when a.attnotnull then 'default' else 'null' end
      else format('%L::%s',
        case
          when jsonb_typeof(v.value) = 'number' and a.atttypid = any ('{int2,int4,int8}'::regtype[])
          then round((v.value #>> '{}')::numeric)::text
          else v.value #>> '{}'
        end,
        format_type(a.atttypid, case
          when a.attname in ('prompt', 'negative_prompt', 'error_message') then a.atttypmod
          when a.atttypid = 'bpchar'::regtype then a.atttypmod
        end))
    end
  from jsonb_each(p_values) v
  join pg_catalog.pg_attribute a on a.attrelid = to_regclass(p_table) and a.attname = v.key
  where a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and a.attidentity <> 'a'
    and case
      when jsonb_typeof(v.value) <> 'number' then true
      when a.atttypid = 'int2'::regtype then abs((v.value #>> '{}')::numeric) <= 32767
      when a.atttypid = 'int4'::regtype then abs((v.value #>> '{}')::numeric) <= 2147483647
      else true
    end;
end
$$;

-- ── images/follow_image_generations.sql ──

-- follow_image_generations: creates process-jobs' two triggers on image_generations if they are missing and the table
-- has a status. They react to the app's changes of a generation while its jobs are unfinished.
create or replace function process_jobs.follow_image_generations() returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_table regclass := to_regclass('public.image_generations');
begin
  if process_jobs.column_type('public.image_generations', 'status') is null
    or (select c.relkind <> 'r' from pg_catalog.pg_class c where c.oid = v_table)
    or (select count(*) = 2 from pg_catalog.pg_trigger t where t.tgrelid = v_table and t.tgname like 'process\_jobs\_%')
  then
    return;
  end if;
  create or replace trigger process_jobs_keep_status
    before update of status on public.image_generations
    for each row
    when (new.status::text = 'queued' and old.status::text in ('processing', 'downloading', 'completed'))
    execute function process_jobs.keep_generation_status();
  create or replace trigger process_jobs_cancel
    after update of status on public.image_generations
    for each row
    when (new.status::text in ('failed', 'cancelled') and old.status::text not in ('failed', 'cancelled', 'completed'))
    execute function process_jobs.cancel_jobs_of_generation();
end
$$;

-- Finds the jobs of a generation.
create index if not exists job_queue_generation on public.job_queue ((payload ->> 'generation_id'))
  where job_type in ('generate-image', 'download-image');

-- ── images/generated_images_bucket.sql ──

-- Creates the public bucket generated-images if the schema storage exists: for the six formats that the worker stores,
-- with MAX_IMAGE_BYTES's default as the size limit. An existing bucket of that name is not changed.
do $$
begin
  if to_regclass('storage.buckets') is null then
    raise notice 'storage.buckets does not exist: the bucket generated-images was not made';
    return;
  end if;
  insert into storage.buckets (id, name, public)
  values ('generated-images', 'generated-images', true)
  on conflict (id) do nothing;
  -- Older versions of Storage have no such columns.
  if found and (
    select count(*) = 2
    from pg_catalog.pg_attribute
    where attrelid = 'storage.buckets'::regclass and attname in ('file_size_limit', 'allowed_mime_types')
  ) then
    update storage.buckets
    set file_size_limit = 52428800,
      allowed_mime_types = array['image/png', 'image/jpeg', 'image/webp', 'image/gif', 'image/avif', 'image/svg+xml']
    where id = 'generated-images';
  end if;
end
$$;

-- ── images/generation_progress.sql ──

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

-- ── images/image_job_types.sql ──

-- The job types of the image worker, with the default retry policy: 5 s, 10 s, 20 s … 600 s, each ±25 %. Replicate
-- takes 600 creates a minute from an account; 500 a minute and 50 at once stay below that.
insert into public.job_types (job_type, starts_per_minute)
values ('generate-image', 500), ('download-image', null), ('watch-prediction', null)
on conflict (job_type) do nothing;

-- ── images/image_tables_shape.sql ──

-- image_tables_shape: a text that changes whenever the image tables change: their columns, defaults, constraints,
-- triggers, trigger functions, enums, and image_writers.
create or replace function process_jobs.image_tables_shape() returns text
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  with tables as (
    select t.oid from (values (to_regclass('public.image_generations')), (to_regclass('public.images'))) t (oid)
    where t.oid is not null
  ), parts as (
    select format('%s %s %s', a.attrelid, a.attnum, a.xmin) as part
    from pg_catalog.pg_attribute a where a.attrelid in (select oid from tables)
    union all
    select format('%s %s', d.oid, d.xmin) from pg_catalog.pg_attrdef d where d.adrelid in (select oid from tables)
    union all
    select format('%s %s', c.oid, c.xmin) from pg_catalog.pg_constraint c where c.conrelid in (select oid from tables)
    union all
    select format('%s %s %s', t.oid, t.xmin, p.xmin)
    from pg_catalog.pg_trigger t join pg_catalog.pg_proc p on p.oid = t.tgfoid
    where t.tgrelid in (select oid from tables)
    union all
    select format('%s %s', e.oid, e.xmin)
    from pg_catalog.pg_enum e
    where e.enumtypid in (select a.atttypid from pg_catalog.pg_attribute a where a.attrelid in (select oid from tables))
    union all
    select format('%s %s', w.writes, w.xmin) from process_jobs.image_writers w
  )
  select coalesce(md5(string_agg(p.part, ',' order by p.part)), '') from parts p
$$;

-- ── images/keep_generation_status.sql ──

-- keep_generation_status: trigger on image_generations. An app that enqueues a job and then sets its generation to
-- `queued` may be slower than the worker: the status that the worker has set is kept.
--
-- A generation that is not completed and has no unfinished job that ever ran may be set freely by the app.
create or replace function process_jobs.keep_generation_status() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if coalesce(current_setting('process_jobs.writes', true), '') <> 'on' and (
    old.status::text = 'completed'
    or exists (
      select from public.job_queue j
      where j.payload ->> 'generation_id' = new.id::text and j.status in ('pending', 'processing')
        and j.job_type in ('generate-image', 'download-image')
        and (j.first_started_at is not null or j.job_type = 'download-image')
    )
  ) then
    new.status := old.status;
  end if;
  return new;
end
$$;

-- ── images/keep_model_schema.sql ──

-- keep_model_schema: returns the kept schema of a model's input if it is at most a day old or p_any_age is true; null:
-- there is none.
--
-- If p_schema, a json object, is not null, keeps it as of now and returns it. Refuses (22023) any other json and one
-- larger than 1048576 bytes as text, and a p_model that does not have between 1 and 300 characters.
create or replace function public.keep_model_schema(
  p_model text,
  p_schema jsonb default null,
  p_any_age boolean default false
) returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_schema is null then
    return (
      select m.schema from process_jobs.model_schemas m
      where m.model = p_model and (p_any_age or m.fetched_at > now() - interval '1 day')
    );
  end if;
  if (length(p_model) between 1 and 300) is not true then
    raise exception 'p_model must have between 1 and 300 characters, not %', coalesce(length(p_model), 0) using errcode = '22023';
  end if;
  if jsonb_typeof(p_schema) <> 'object' then
    raise exception 'p_schema must be a json object, not %', jsonb_typeof(p_schema) using errcode = '22023';
  end if;
  if process_jobs.json_refusal('p_schema', p_schema) is not null then
    raise exception '%', process_jobs.json_refusal('p_schema', p_schema) using errcode = '22023';
  end if;
  insert into process_jobs.model_schemas (model, schema) values (p_model, p_schema)
  on conflict (model) do update set schema = excluded.schema, fetched_at = now();
  return p_schema;
end
$$;

revoke execute on function public.keep_model_schema(text, jsonb, boolean) from public, anon, authenticated;
grant execute on function public.keep_model_schema(text, jsonb, boolean) to service_role;

-- ── images/keep_users_apart.sql ──

-- keep_users_apart: trigger on job_queue. If an app lets users write jobs, a user may only ask for pictures of their
-- own, because the job's effects (apply_image_job) bypass the policies of the image tables; and not for watch-prediction,
-- which says whose a prediction was. Nor may they enqueue a deliver-webhook job, whose address may be an inside one, by
-- enqueue_job either: they give a job a notify_url.
--
-- It runs as the writing role: functions of the app and of process-jobs may name any user. Refuses (42501).
create or replace function process_jobs.keep_users_apart() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_claims jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
begin
  if new.job_type = 'deliver-webhook' then
    if (current_user in ('anon', 'authenticated') or v_claims ->> 'role' <> 'service_role')
      and coalesce(current_setting('process_jobs.hands_on', true), '') <> 'on'
    then
      raise exception 'deliver-webhook jobs are not for users: give a job a notify_url' using errcode = '42501';
    end if;
  elsif current_user in ('anon', 'authenticated') and new.job_type = 'watch-prediction' then
    raise exception 'job_type: watch-prediction is not for users' using errcode = '42501';
  elsif current_user in ('anon', 'authenticated') and new.payload ->> 'user_id' is distinct from v_claims ->> 'sub' then
    raise exception 'payload: user_id must be your own' using errcode = '42501';
  end if;
  return new;
end
$$;

create or replace trigger process_jobs_keep_users_apart
  before insert on public.job_queue
  for each row
  when (new.job_type in ('generate-image', 'download-image', 'watch-prediction', 'deliver-webhook'))
  execute function process_jobs.keep_users_apart();
-- As check_notify_url's.
create or replace trigger process_jobs_keep_users_apart_after
  after update of job_type, payload on public.job_queue
  for each row
  when (new.job_type in ('generate-image', 'download-image', 'watch-prediction', 'deliver-webhook'))
  execute function process_jobs.keep_users_apart();

-- ── images/look_at_image_tables.sql ──

-- look_at_image_tables: pauses generate-image while no picture can be recorded in the image tables, so that none is
-- paid for in vain, and resumes it once they can; returns the reason, or null if they can.
--
-- The tables are tried (rehearse_image_tables) if they have changed since, failed the last time, or with p_anew. A
-- pause by a person stays.
create or replace function process_jobs.look_at_image_tables(p_anew boolean default false) returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_refusal text;
begin
  if not p_anew and exists (
    select from process_jobs.image_tables t
    where t.tried and t.refusal is null and t.shape = process_jobs.image_tables_shape()
  ) then
    return null;
  end if;
  v_refusal := process_jobs.rehearse_image_tables();
  update public.job_types t
  set paused_at = case when v_refusal is not null then coalesce(t.paused_at, now()) end, paused_reason = left(v_refusal, 2000)
  where t.job_type = 'generate-image' and (t.paused_at is null or t.paused_reason like 'the image tables take no picture: %')
    and t.paused_reason is distinct from left(v_refusal, 2000);
  return v_refusal;
end
$$;

-- ── images/model_name.sql ──

-- model_name: the name in `owner/name` or `owner/name:version`.
create or replace function process_jobs.model_name(p_model_id text) returns text
language sql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select split_part(substring(p_model_id from '[^/]*$'), ':', 1)
$$;

-- ── images/model_schemas.sql ──

-- model_schemas: the input schemas that Replicate publishes, current for a day, so that a model outside the worker's
-- catalogue, or one that has changed since, is asked about once a day instead of by every job.
create table if not exists process_jobs.model_schemas (
  model text primary key,
  schema jsonb not null,
  fetched_at timestamptz not null default now(),
  constraint model_schemas_model_length check (length(model) between 1 and 300)
);

-- ── images/model_times.sql ──

-- model_times: how long a model usually takes, for the progress of a prediction whose log tells none: the median of its
-- last 21 predictions.
--
-- A median, because a cold start or a stuck machine takes ten times as long; of the last ones as they are, because 21
-- numbers are as cheap to keep as an estimate of one, have no step to be tuned, and follow a model that has become
-- faster within eleven predictions.
--
-- model    the payload's model_id
-- seconds  the median of recent
-- recent   the predict seconds of its last predictions, the newest first
create table if not exists process_jobs.model_times (
  model text primary key,
  seconds double precision not null,
  recent double precision[] not null,
  updated_at timestamptz not null default now()
);

-- ── images/note_model_time.sql ──

-- note_model_time: counts a prediction's time toward its model's usual time (model_times); only for apply_image_job.
--
-- While another transaction counts one of the same model, this one is left out: no settle waits for a number.
create or replace function process_jobs.note_model_time(p_model text, p_seconds double precision) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if (p_seconds > 0 and length(p_model) between 1 and 300) is not true
    or not pg_try_advisory_xact_lock(hashtextextended('process_jobs.model_times ' || p_model, 0))
  then
    return;
  end if;
  insert into process_jobs.model_times as t (model, seconds, recent)
  values (p_model, p_seconds, array[p_seconds])
  on conflict (model) do update
  set recent = (p_seconds || t.recent)[:21], updated_at = now(),
    seconds = (select percentile_disc(0.5) within group (order by r) from unnest((p_seconds || t.recent)[:21]) r);
end
$$;

-- ── images/plain_number.sql ──

-- plain_number: a json number from 0 to 2147483647; null for any other value.
create or replace function process_jobs.plain_number(p_value jsonb) returns numeric
language sql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select case when jsonb_typeof(p_value) = 'number' and p_value::numeric between 0 and 2147483647 then p_value::numeric end
$$;

-- ── images/realtime.sql ──

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

-- ── images/record_images.sql ──

-- record_images: writes the rows of a generation's stored pictures, completes it and tells its user; only for
-- apply_image_job. image_writers may name another function for the rows.
--
-- p_payload is the download's: {generation_id, user_id, prompt?, negative_prompt?, model_id?}; p_images is a list of
-- the stored pictures: {filename, storage_path, public_url, file_size (bytes), width, height (pixels), format}. The
-- generation gets the size of the first; generation_time_seconds counts from its creation. A second call with the same
-- file names leaves the same rows. Only existing columns are written, with their own types; the model is named as in
-- the generation. If the app has ended the generation meanwhile, no picture is written. Refuses (P0001) a generation of
-- another user.
create or replace function process_jobs.record_images(p_job_id uuid, p_payload jsonb, p_images jsonb) returns void
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set jit = off
as $$
declare
  v_own text := (select w.function_name from process_jobs.image_writers w where w.writes = 'images');
  v_id text := quote_literal(p_payload ->> 'generation_id') || '::'
    || process_jobs.column_type('public.image_generations', 'id');
  v_generation_id text := quote_literal(p_payload ->> 'generation_id') || '::'
    || process_jobs.column_type('public.images', 'generation_id');
  v_has_progress boolean := coalesce((select t.statuses ? 'progress' from process_jobs.image_tables t), false);
  v_generation jsonb;
  v_image jsonb;
  v_model text := p_payload ->> 'model_id';
  v_columns record;
  v_changed bigint;
begin
  if v_own is not null then
    execute format('select %s($1, $2)', v_own) using p_payload, p_images;
    perform process_jobs.tell_generation(p_payload, 'completed', null, 100, p_images, false);
    return;
  end if;
  -- Its row is ours from here on: what the app does with it was before, and is seen, or comes after.
  execute 'select from public.image_generations g where g.id = ' || v_id || ' for no key update';
  if exists (select from process_jobs.job_troubles t where t.job_id = p_job_id and t.kind = 'cancel') then
    return;
  end if;
  if not process_jobs.set_generation_status(p_payload, 'downloading', null, null, true) then
    raise exception 'generation % belongs to another user than %', p_payload ->> 'generation_id', p_payload ->> 'user_id';
  end if;

  execute 'select to_jsonb(g) from public.image_generations g where g.id = ' || v_id into v_generation;
  if v_generation ->> 'model' = process_jobs.model_name(v_model)
    or v_generation ->> 'model' is null and (select t.statuses ? 'model' from process_jobs.image_tables t)
  then
    v_model := process_jobs.model_name(v_model);
  end if;
  execute (
    select format('update public.image_generations g set %s where g.id = %s',
      string_agg(format('%s = %s', c.name, c.literal), ', '), v_id)
    from process_jobs.fitting_columns('public.image_generations',
      '{"status": "completed", "error_message": null}' || case when v_has_progress then '{"progress": 100}' else '{}' end::jsonb || jsonb_strip_nulls(jsonb_build_object(
        'width', process_jobs.plain_number(p_images -> 0 -> 'width'),
        'height', process_jobs.plain_number(p_images -> 0 -> 'height'),
        'generation_time_seconds', coalesce(nullif(v_generation -> 'generation_time_seconds', 'null'),
          to_jsonb(extract(epoch from clock_timestamp() - (v_generation ->> 'created_at')::timestamptz))),
        'completed_at', coalesce(nullif(v_generation -> 'completed_at', 'null'), to_jsonb(now())),
        'updated_at', now()))) c);

  for v_image in select i.value from jsonb_array_elements(p_images) i loop
    v_image := v_image || jsonb_build_object(
      'generation_id', p_payload ->> 'generation_id', 'user_id', p_payload ->> 'user_id',
      'width', process_jobs.plain_number(v_image -> 'width'), 'height', process_jobs.plain_number(v_image -> 'height'),
      'prompt', p_payload ->> 'prompt', 'negative_prompt', p_payload ->> 'negative_prompt', 'model', v_model);
    select string_agg(c.name, ', ') as names, string_agg(c.literal, ', ') as literals,
      string_agg(format('%s = %s', c.name, c.literal), ', ') filter (where c.name <> 'user_id') as assignments,
      (array_agg(format('%s = %s', c.name, c.literal) order by n.n) filter (where n.n is not null))[1] as key
    into v_columns
    from process_jobs.fitting_columns('public.images', jsonb_strip_nulls(v_image)) c
    left join unnest(array['filename', 'storage_path', 'public_url']) with ordinality n (name, n) on n.name = c.name;
    if v_generation_id is null or v_columns.key is null then
      raise exception 'public.images has no column generation_id, or neither filename, storage_path nor public_url'
        using errcode = '42703', hint = 'See process_jobs.image_writers.';
    end if;
    execute format('update public.images i set %s where i.generation_id = %s and i.%s',
      v_columns.assignments, v_generation_id, v_columns.key);
    get diagnostics v_changed = row_count;
    if v_changed = 0 then
      execute format('insert into public.images (%s) values (%s)', v_columns.names, v_columns.literals);
    end if;
  end loop;
  perform process_jobs.tell_generation(p_payload, 'completed', null, 100, p_images, v_has_progress);
end
$$;

-- ── images/rehearse_image_tables.sql ──

-- rehearse_image_tables: writes like image jobs, bringing a generation through all its states to two stored pictures,
-- and undoes it; returns why that fails and what to do, or null if it works. Records the findings in image_tables.
--
-- It tries a generation made by process-jobs first, then a copy of an existing one: if an app makes all its generations
-- itself, it may have columns that only it can fill. A progress of whole numbers is tried too, and left alone if that is
-- refused. If there is no user for it yet, nothing is tried.
create or replace function process_jobs.rehearse_image_tables() returns text
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_shape text := process_jobs.image_tables_shape();
  v_statuses jsonb := '{}';
  v_tried boolean := true;
  v_refusal text;
  v_id_type text := process_jobs.column_type('public.image_generations', 'id');
  v_user_id_type text := process_jobs.column_type('public.image_generations', 'user_id');
  v_reference record;
  v_ids text[];
  v_user_id text;
  v_payload jsonb;
  v_way record;
  v_kept jsonb;
  v_step record;
  v_images constant jsonb := '[
    {"filename": "rehearsal.png", "storage_path": "rehearsal/rehearsal.png", "public_url": "https://rehearsal.invalid/rehearsal.png",
     "file_size": 1, "width": 1, "height": 1, "format": "png"},
    {"filename": "rehearsal.2.png", "storage_path": "rehearsal/rehearsal.2.png", "public_url": "https://rehearsal.invalid/rehearsal.2.png",
     "file_size": 1, "width": 1, "height": 1, "format": "png"}]';
begin
  if (select count(*) = 2 from process_jobs.image_writers) then
    v_tried := false;
  elsif v_id_type is null or v_user_id_type is null then
    v_refusal := case
      when to_regclass('public.image_generations') is null then 'there is no table public.image_generations'
      when v_id_type is null then 'public.image_generations has no column id'
      else 'public.image_generations has no column user_id, whose picture it is'
    end;
  elsif v_id_type !~ '^(text|uuid|character varying.*|integer|bigint|smallint)$' then
    v_refusal := format('public.image_generations.id is of type %s, neither text nor uuid nor a number', v_id_type);
  else
    -- A user: of a generation, else of the table that user_id is a key of, else any.
    execute 'select user_id::text from public.image_generations where user_id is not null limit 1' into v_user_id;
    if v_user_id is null then
      select c.confrelid::regclass as of_table, quote_ident(a.attname) as of_column into v_reference
      from pg_catalog.pg_constraint c
      join pg_catalog.pg_attribute k on k.attrelid = c.conrelid and k.attnum = c.conkey[1] and k.attname = 'user_id'
      join pg_catalog.pg_attribute a on a.attrelid = c.confrelid and a.attnum = c.confkey[1]
      where c.conrelid = to_regclass('public.image_generations') and c.contype = 'f' and cardinality(c.conkey) = 1;
      if found then
        execute format('select %s::text from %s limit 1', v_reference.of_column, v_reference.of_table) into v_user_id;
        v_tried := v_user_id is not null;
      end if;
    end if;
    v_ids := array(
      select case
        when v_id_type = 'smallint' then (32768 - n)::text
        when v_id_type in ('integer', 'bigint') then (2147483648 - n)::text
        else gen_random_uuid()::text
      end
      from generate_series(1, 3) n);
    v_user_id := coalesce(v_user_id, case
      when v_user_id_type in ('smallint', 'integer', 'bigint') then '32767'
      else gen_random_uuid()::text
    end);
  end if;

  if process_jobs.column_type('public.image_generations', 'progress') in ('smallint', 'integer', 'bigint')
    and exists (select from process_jobs.fitting_columns('public.image_generations', '{"progress": 0}'))
    and not exists (select from process_jobs.image_writers)
  then
    v_statuses := '{"progress": "column"}';
  end if;
  insert into process_jobs.image_tables as t (shape, statuses, tried, refusal)
  values (v_shape, v_statuses, v_tried, null)
  on conflict (only_row) do update
  set shape = v_shape, statuses = v_statuses, tried = v_tried, refusal = null, looked_at = now();

  if v_refusal is null and v_tried then
    -- Where the app names a model by its name alone, so do we.
    if process_jobs.column_type('public.image_generations', 'model') is not null then
      execute $q$
        select case when bool_and(m.model !~ '/') then '{"model": "name"}'::jsonb else '{}' end || $1
        from (select g.model::text from public.image_generations g where g.model is not null limit 100) m
      $q$ into v_statuses using v_statuses;
    end if;
    v_kept := v_statuses;
    v_payload := jsonb_build_object('user_id', v_user_id, 'prompt', 'rehearsal',
      'model_id', 'owner/name', 'width', 1, 'height', 1, 'num_inference_steps', 1, 'guidance_scale', 1);
    begin
      for v_way in
        select m.made_by_us, p.has_progress
        from (values (true), (false)) m (made_by_us)
        cross join (values (true), (false)) p (has_progress)
        where v_kept ? 'progress' or not p.has_progress
        order by p.has_progress desc, m.made_by_us desc
      loop
        begin
          v_statuses := case when v_way.has_progress then v_kept else v_kept - 'progress' end;
          update process_jobs.image_tables set statuses = v_statuses;
          for v_step in
            select s.n, s.status, s.instead
            from (values
              (1, 'queued', 'pending'), (1, 'processing', null), (1, 'downloading', 'processing'), (1, 'completed', null),
              (2, 'queued', 'pending'), (2, 'failed', null),
              (3, 'queued', 'pending'), (3, 'cancelled', 'failed')) s (n, status, instead)
          loop
            v_payload := v_payload || jsonb_build_object('generation_id', v_ids[v_step.n]);
            if v_step.status = 'queued' and not v_way.made_by_us then
              execute (
                select format(
                  'insert into public.image_generations (%s) select %s from public.image_generations g where g.user_id is not null limit 1',
                  string_agg(quote_ident(a.attname), ', '),
                  string_agg(case a.attname
                    when 'id' then format('%L::%s', v_ids[v_step.n], v_id_type)
                    when 'status' then quote_literal('pending')
                    else 'g.' || quote_ident(a.attname)
                  end, ', '))
                from pg_catalog.pg_attribute a
                where a.attrelid = to_regclass('public.image_generations') and a.attnum > 0 and not a.attisdropped
                  and a.attgenerated = '' and a.attidentity <> 'a');
            end if;
            begin
              if v_step.status = 'completed' then
                perform process_jobs.record_images(gen_random_uuid(), v_payload, v_images);
                perform process_jobs.record_images(gen_random_uuid(), v_payload, v_images);
              else
                perform process_jobs.set_generation_status(v_payload, v_step.status,
                  case when v_step.status = 'failed' then 'rehearsal' end,
                  case when v_step.status = 'processing' then 'rehearsal' end, true, 99);
              end if;
              set constraints all immediate;
            exception
              when check_violation or invalid_text_representation then
                if v_step.instead is null or v_statuses ? v_step.status then
                  raise;
                end if;
                v_statuses := v_statuses || jsonb_build_object(v_step.status, v_step.instead);
                update process_jobs.image_tables set statuses = v_statuses;
                perform process_jobs.set_generation_status(v_payload, v_step.status, null, null, true);
            end;
          end loop;
          v_refusal := null;
          raise exception using errcode = 'PJ000';
        exception
          when sqlstate 'PJ000' then
            raise;
          when lock_not_available then
            v_tried := false;
          when others then
            if process_jobs.is_server_state(sqlstate) then
              raise;
            end if;
            v_refusal := format('a generation cannot be %s: %s', v_step.status, sqlerrm);
        end;
      end loop;
    exception
      when sqlstate 'PJ000' then
        null;
    end;
  end if;

  v_refusal := 'the image tables take no picture: ' || v_refusal
    || '. Change the table, or name a function of your own in process_jobs.image_writers';
  update process_jobs.image_tables set statuses = v_statuses, tried = v_tried, refusal = v_refusal;
  return v_refusal;
end
$$;

-- ── images/send_to_user.sql ──

-- send_to_user: sends a message to a user's private Realtime topic; only for tell_generation, where realtime.send is.
--
-- It is a row of realtime.messages, which Realtime reads from the log after the commit. Where that table refuses it, or
-- is locked, as while Realtime makes a day's partition, there is a warning and no message.
create or replace function process_jobs.send_to_user(p_user_id text, p_message jsonb) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '20ms'
as $$
begin
  execute format('select %s($1, $2, $3, true)', to_regprocedure('realtime.send(jsonb, text, text, boolean)')::regproc)
  using p_message, 'generation', 'process-jobs:' || p_user_id;
exception
  when others then
    if process_jobs.is_server_state(sqlstate) then
      raise;
    end if;
    raise warning 'user % could not be told: %', p_user_id, sqlerrm;
end
$$;

-- ── images/set_generation_status.sql ──

-- set_generation_status: sets the status and the progress of an image job's generation, and tells its user; false: it
-- belongs to another user, and nothing changed. Only for apply_image_job; image_writers may name another function for
-- the status.
--
-- A missing row is made from the payload; keys: generation_id, user_id, prompt, negative_prompt, model_id, width,
-- height, num_inference_steps, guidance_scale. Only existing columns are written, with their own types, and with a
-- status that the table accepts (image_tables). A completed generation is not changed. p_prediction_id null keeps the
-- stored one. If another session has locked the row, it waits with p_waits, else it refuses (55P03); if only progress
-- changes, that is left to the next look.
--
-- p_progress, 0 to 99, counts where it is more than the stored one, and is written with a change of status or of five
-- points. A life begins at 0: with `queued`, and with whatever follows `failed` or `cancelled`.
create or replace function process_jobs.set_generation_status(
  p_payload jsonb,
  p_status text,
  p_error_message text,
  p_prediction_id text,
  p_waits boolean,
  p_progress int default null
) returns boolean
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set jit = off
as $$
declare
  v_own text := (select w.function_name from process_jobs.image_writers w where w.writes = 'generation');
  v_statuses jsonb := (select t.statuses from process_jobs.image_tables t);
  v_has_progress boolean := v_own is null and coalesce(v_statuses ? 'progress', false);
  v_status text := coalesce(v_statuses ->> p_status, p_status);
  v_message text := coalesce(p_error_message, case when v_status = 'failed' and p_status = 'cancelled' then 'cancelled' end);
  v_id text := quote_literal(p_payload ->> 'generation_id') || '::'
    || process_jobs.column_type('public.image_generations', 'id');
  v_user_id text := quote_literal(p_payload ->> 'user_id') || '::'
    || process_jobs.column_type('public.image_generations', 'user_id');
  v_generation jsonb;
  v_is_theirs boolean;
  v_is_ended boolean := false;
  v_changes boolean := false;
  v_kept jsonb;
  v_kept_progress int;
  v_progress int;
  v_is_news boolean;
  v_count bigint;
  v_writes text := coalesce(current_setting('process_jobs.writes', true), '');
begin
  if v_own is not null then
    execute format('select %s($1, $2)', v_own)
    using p_payload, jsonb_build_object(
      'status', p_status, 'error_message', p_error_message, 'replicate_prediction_id', p_prediction_id);
  elsif v_id is null or v_user_id is null then
    raise exception 'public.image_generations is not there, or has no columns id and user_id'
      using errcode = '42P01', hint = 'See process_jobs.image_writers.';
  else
    execute format(
      'select to_jsonb(g), g.user_id is not null and g.user_id <> %s from public.image_generations g where g.id = %s', v_user_id, v_id)
    into v_generation, v_is_theirs;
    if v_is_theirs then
      return false;
    elsif v_generation ->> 'status' = 'completed' then
      return true;
    end if;
    -- What the app has ended is not ended anew.
    v_is_ended := coalesce(p_status = 'cancelled' and v_generation ->> 'status' in ('failed', 'cancelled'), false);
    if v_is_ended then
      p_status := v_generation ->> 'status';
      v_status := p_status;
      v_message := v_generation ->> 'error_message';
    else
      v_changes := (v_generation ->> 'status' = v_status and v_generation ->> 'error_message' is not distinct from v_message
        and (p_prediction_id is null or v_generation ->> 'replicate_prediction_id' = p_prediction_id)) is not true;
    end if;
  end if;

  if v_has_progress then
    v_kept := v_generation;
  else
    select to_jsonb(p) into v_kept
    from public.generation_progress p
    where p.user_id = p_payload ->> 'user_id' and p.generation_id = p_payload ->> 'generation_id';
  end if;
  v_kept_progress := greatest(0, least(100, coalesce((v_kept ->> 'progress')::bigint, 0)));
  v_progress := case
    when p_status = 'queued' then 0
    when p_status in ('failed', 'cancelled') then v_kept_progress
    when v_kept ->> 'status' in ('failed', 'cancelled', 'completed') then coalesce(p_progress, 0)
    else greatest(v_kept_progress, p_progress)
  end;
  v_is_news := v_is_ended or abs(v_progress - v_kept_progress) >= 5
    or v_kept ->> 'status' is distinct from case when v_has_progress then v_status else p_status end;

  -- Most claims and parks change nothing here, and then lock nothing either.
  if v_changes or v_has_progress and v_is_news and v_progress <> v_kept_progress then
    perform set_config('process_jobs.writes', 'on', true);
    if v_generation is not null then
      if not p_waits then
        execute format('select from public.image_generations g where g.id = %s for no key update %s',
          v_id, case when v_changes then 'nowait' else 'skip locked' end);
        get diagnostics v_count = row_count;
      end if;
      if v_count is distinct from 0 then
        execute (
          select format('update public.image_generations g set %s where g.id = %s and g.status::text <> ''completed''',
            string_agg(format('%s = %s', c.name, c.literal), ', '), v_id)
          from process_jobs.fitting_columns('public.image_generations', jsonb_build_object(
            'status', v_status, 'error_message', v_message, 'updated_at', now()
          ) || case
            when p_prediction_id is null then '{}'
            else jsonb_build_object('replicate_prediction_id', p_prediction_id)
          end || case when v_has_progress and v_is_news then jsonb_build_object('progress', v_progress) else '{}' end) c);
        get diagnostics v_count = row_count;
      end if;
    else
      begin
        execute (
          select format('insert into public.image_generations (%s) values (%s)',
            string_agg(c.name, ', '), string_agg(c.literal, ', '))
          from process_jobs.fitting_columns('public.image_generations', jsonb_strip_nulls(jsonb_build_object(
            'id', p_payload ->> 'generation_id', 'user_id', p_payload ->> 'user_id', 'prompt', p_payload ->> 'prompt',
            'negative_prompt', p_payload ->> 'negative_prompt',
            'model', case
              when v_statuses ? 'model' then process_jobs.model_name(p_payload ->> 'model_id')
              else p_payload ->> 'model_id'
            end,
            'width', process_jobs.plain_number(p_payload -> 'width'), 'height', process_jobs.plain_number(p_payload -> 'height'),
            'steps', process_jobs.plain_number(p_payload -> 'num_inference_steps'),
            'guidance_scale', process_jobs.plain_number(p_payload -> 'guidance_scale'),
            'status', v_status, 'error_message', v_message, 'replicate_prediction_id', p_prediction_id,
            'progress', case when v_has_progress then v_progress end))) c);
      exception
        -- Somebody was faster.
        when unique_violation then
          v_count := 0;
      end;
    end if;
    perform set_config('process_jobs.writes', v_writes, true);
  end if;
  if v_is_news and v_count is distinct from 0 then
    perform process_jobs.tell_generation(p_payload, p_status, v_message, v_progress, null, v_has_progress);
  end if;
  return true;
end
$$;

-- ── images/tell_generation.sql ──

-- tell_generation: tells a generation's user where it stands, through Realtime where that is; only for
-- set_generation_status and record_images, with news.
--
-- p_is_kept  true: image_generations has the progress; false: it is kept in generation_progress
-- p_images   of a completed generation: its stored pictures, as for record_images
--
-- The message goes to the user's private topic `process-jobs:<user id>`, as the event `generation`: {"id", "status",
-- "progress", "error_message"?, "images"?: [{"filename", "storage_path", "public_url", "width", "height", "format"}],
-- "usual_seconds"?}. usual_seconds, with `processing`, is the model's usual time, so that a client's bar can move
-- between two messages. What Realtime refuses is a warning: a job never fails for it, nor waits.
create or replace function process_jobs.tell_generation(
  p_payload jsonb,
  p_status text,
  p_error_message text,
  p_progress int,
  p_images jsonb,
  p_is_kept boolean
) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not p_is_kept then
    insert into public.generation_progress as g (user_id, generation_id, status, progress)
    values (p_payload ->> 'user_id', p_payload ->> 'generation_id', p_status, p_progress)
    on conflict (user_id, generation_id) do update
    set status = excluded.status, progress = excluded.progress, updated_at = now();
  end if;
  if to_regprocedure('realtime.send(jsonb, text, text, boolean)') is not null then
    perform process_jobs.send_to_user(p_payload ->> 'user_id', jsonb_strip_nulls(jsonb_build_object(
      'id', p_payload ->> 'generation_id', 'status', p_status, 'progress', p_progress, 'error_message', p_error_message,
      'images', process_jobs.told_images(p_images),
      'usual_seconds', case when p_status = 'processing' then (
        select t.seconds from process_jobs.model_times t where t.model = p_payload ->> 'model_id')
      end)));
  end if;
end
$$;

-- ── images/told_images.sql ──

-- told_images: what a user is told of stored pictures (record_images): a list of {filename, storage_path, public_url, width,
-- height, format}; null: there are none.
create or replace function process_jobs.told_images(p_images jsonb) returns jsonb
language sql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_agg(jsonb_build_object(
    'filename', i.value -> 'filename', 'storage_path', i.value -> 'storage_path', 'public_url', i.value -> 'public_url',
    'width', i.value -> 'width', 'height', i.value -> 'height', 'format', i.value -> 'format'))
  from jsonb_array_elements(p_images) i
$$;

-- ── images/watch_prediction.sql ──

-- watch_prediction: has a job of its own see the end of a prediction whose job ends before it, so that what it used is
-- recorded; nothing where it is recorded already. For apply_image_job.
--
-- It happens where a worker was killed at the last attempt, where JOB_TIMEOUT_MS is over, or a cancel could not be waited
-- for. It begins 15 s later, when mostly the prediction has ended, and before new work, because an hour later Replicate
-- tells no more how many pictures there were.
create or replace function process_jobs.watch_prediction(p_job_id uuid, p_life int, p_prediction_id text) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
begin
  if exists (select from public.usage_ledger l where l.id = p_prediction_id)
    or not exists (select from public.job_types t where t.job_type = 'watch-prediction')
  then
    return;
  end if;
  begin
    perform process_jobs.insert_job(
      'watch-prediction', jsonb_build_object('prediction_id', p_prediction_id, 'job_id', p_job_id, 'life', p_life),
      1000000, 10, now() + interval '15 seconds', 'watch-prediction:' || left(p_prediction_id, 150), null);
  exception
    -- A check of the app's own may know no such type: the job ends all the same.
    when others then
      if process_jobs.is_server_state(sqlstate) or sqlstate like '55%' then
        raise;
      end if;
      raise warning 'nobody sees the end of prediction %: %', left(p_prediction_id, 150), sqlerrm;
  end;
end
$$;

-- ── costs/check_budget.sql ──

-- check_budget: for a user's request: null where there is budget left, else when the request may begin, if it is to be
-- parked, or a refusal (PT429, which PostgREST answers as 429) that says what is used and when the month ends; its detail
-- has the same as json.
--
-- p_max_cost_per_month  the user's budget in US dollars, null: none
-- p_over_budget         'park' or 'refuse'
--
-- What is under way counts once it has ended, and what has no known price counts as nothing. Over the project's budget
-- requests are refused, or wait with their type, as project_budget says.
create or replace function process_jobs.check_budget(p_user_id text, p_max_cost_per_month numeric, p_over_budget text)
returns timestamptz
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_month constant timestamptz := date_trunc('month', now(), 'UTC');
  v_next_month constant timestamptz := (v_month at time zone 'UTC' + interval '1 month') at time zone 'UTC';
  v_used numeric;
begin
  if exists (
    select from public.job_types t, public.project_budget b
    where t.job_type = 'generate-image' and process_jobs.is_over_budget(t.paused_reason) and b.over_budget = 'refuse'
  ) then
    raise exception 'the budget for %, all users together, is used; the next begins on % 00:00 UTC',
      to_char(v_month at time zone 'UTC', 'FMMonth YYYY'), to_char(v_next_month at time zone 'UTC', 'YYYY-MM-DD')
      using errcode = 'PT429', detail = jsonb_build_object('limit', 'project_budget', 'until', v_next_month);
  end if;
  if p_max_cost_per_month is null then
    return null;
  end if;
  v_used := process_jobs.cost_of_month(p_user_id);
  if v_used < p_max_cost_per_month then
    return null;
  elsif p_over_budget = 'park' then
    return v_next_month;
  end if;
  raise exception 'your budget for % is used: % of % US dollars; the next begins on % 00:00 UTC',
    to_char(v_month at time zone 'UTC', 'FMMonth YYYY'), round(v_used, 2), p_max_cost_per_month,
    to_char(v_next_month at time zone 'UTC', 'YYYY-MM-DD')
    using errcode = 'PT429', detail = jsonb_build_object(
      'limit', 'max_cost_per_month', 'allowed', p_max_cost_per_month, 'used', v_used, 'until', v_next_month);
end
$$;

-- ── costs/cost_of_month.sql ──

-- cost_of_month: what a user's predictions of this month (UTC) have cost, in US dollars; one without a known price counts
-- as nothing.
create or replace function process_jobs.cost_of_month(p_user_id text) returns numeric
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
begin
  return (
    select coalesce(sum(l.cost), 0)
    from public.usage_ledger l
    where l.user_id = p_user_id and l.created_at >= date_trunc('month', now(), 'UTC'));
end
$$;

-- ── costs/costs_by_model.sql ──

-- costs_by_model: what each model has used in each month (UTC). cost counts what has no known price as 0; unpriced tells how
-- many predictions that are.
create or replace view public.costs_by_model with (security_invoker = true) as
  select date_trunc('month', l.created_at at time zone 'UTC')::date as month, l.model, count(*) as predictions,
    coalesce(sum(l.images), 0) as images, coalesce(sum(l.predict_seconds), 0) as predict_seconds,
    coalesce(sum(l.cost), 0) as cost, count(*) filter (where l.cost is null) as unpriced
  from public.usage_ledger l
  group by 1, 2;

revoke all on public.costs_by_model from public, anon, authenticated, service_role;
grant select on public.costs_by_model to service_role;

-- ── costs/costs_by_user.sql ──

-- costs_by_user: what each user has used in each month (UTC). cost counts what has no known price as 0; unpriced tells how
-- many predictions that are.
create or replace view public.costs_by_user with (security_invoker = true) as
  select date_trunc('month', l.created_at at time zone 'UTC')::date as month, l.user_id, count(*) as predictions,
    coalesce(sum(l.images), 0) as images, coalesce(sum(l.predict_seconds), 0) as predict_seconds,
    coalesce(sum(l.cost), 0) as cost, count(*) filter (where l.cost is null) as unpriced
  from public.usage_ledger l
  group by 1, 2;

revoke all on public.costs_by_user from public, anon, authenticated, service_role;
grant select on public.costs_by_user to service_role;

-- ── costs/is_over_budget.sql ──

-- is_over_budget: whether a type's paused_reason is that of look_at_budget.
create or replace function process_jobs.is_over_budget(p_paused_reason text) returns boolean
language sql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select p_paused_reason like 'the project''s budget for % is used: %'
$$;

-- ── costs/look_at_budget.sql ──

-- look_at_budget: pauses generate-image while the project's budget for the month is used, and resumes it once it is not: in
-- the next month, or where the budget has been raised. A pause by a person, or for another reason, stays.
--
-- Called wherever something is recorded, with each drain, each tick, and each change of the budget; looks every 5 s, or at
-- a hundredth of the time where the sum takes long, unless p_anew. Waits for nobody: where another session looks, or has
-- the type's row, it is left to the next call. What stands in the way of a pause or its end is a warning: no job's outcome
-- is refused for it.
create or replace function process_jobs.look_at_budget(p_anew boolean default false) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set jit = off
as $$
declare
  v_month constant timestamptz := date_trunc('month', now(), 'UTC');
  v_looked_at constant timestamptz := clock_timestamp();
  v_budget numeric;
  v_used numeric;
  v_is_over boolean := false;
  v_paused_reason text;
begin
  select b.max_cost_per_month into v_budget
  from public.project_budget b
  where p_anew or b.look_again_at <= v_looked_at
  for no key update skip locked;
  if not found then
    return;
  end if;
  if v_budget is not null then
    select coalesce(sum(l.cost), 0) into v_used from public.usage_ledger l where l.created_at >= v_month;
    v_is_over := v_used >= v_budget;
  end if;
  update public.project_budget
  set look_again_at = v_looked_at + greatest(interval '5 seconds', 100 * (clock_timestamp() - v_looked_at));

  select t.paused_reason into v_paused_reason
  from public.job_types t
  where t.job_type = 'generate-image'
    and case when v_is_over then t.paused_at is null else process_jobs.is_over_budget(t.paused_reason) end
  for no key update skip locked;
  if not found then
    return;
  end if;
  begin
    if v_is_over then
      perform public.pause_job_type('generate-image', format(
        'the project''s budget for %s is used: %s of %s US dollars; it goes on by itself on %s (UTC), or when project_budget is raised',
        to_char(v_month at time zone 'UTC', 'FMMonth YYYY'), round(v_used, 2), v_budget,
        to_char(v_month at time zone 'UTC' + interval '1 month', 'YYYY-MM-DD')));
    else
      perform public.resume_job_type('generate-image');
    end if;
  exception
    when others then
      if process_jobs.is_server_state(sqlstate) then
        raise;
      end if;
      raise warning 'generate-image could not be paused or resumed for the budget: %', sqlerrm;
  end;
end
$$;

-- look_at_changed_budget: trigger on project_budget: a changed budget counts at once.
create or replace function process_jobs.look_at_changed_budget() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform process_jobs.look_at_budget(true);
  return null;
end
$$;

create or replace trigger process_jobs_look_at_budget
  after update of max_cost_per_month on public.project_budget
  for each row
  execute function process_jobs.look_at_changed_budget();

-- ── costs/record_usage.sql ──

-- record_usage: writes into usage_ledger what has ended outside; what is there already stays as it is.
--
-- p_outcomes  a json array of objects, those with "job_id" and "usage": [{id, status, model?, predict_seconds?, images?}],
--             as usage_ledger has them; a model's version is cut off
--
-- The cost is seconds and pictures by the model's price; of an aborted one, which never started, nothing. It is unknown
-- without a price, and where the price is for something that is not known.
--
-- An end outside is a fact whosever the job is: settle_jobs records it also with an outcome that comes too late, and
-- wake_job for a job that has ended. Both call it before they lock a job. Refuses (22023) a usage out of bounds.
create or replace function process_jobs.record_usage(p_outcomes jsonb) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_refusal text;
begin
  if jsonb_path_exists(p_outcomes, '$[*] ? (@.usage.type() != "array" || exists(@.usage[*] ? (@.type() != "object")))') then
    raise exception 'p_usage must be a json array of objects' using errcode = '22023';
  end if;
  select min(case
      when (length(u.id) between 1 and 200) is not true then 'p_usage: id must have 1 to 200 characters'
      when (u.status in ('succeeded', 'failed', 'canceled', 'aborted')) is not true then
        format('p_usage: status must be succeeded, failed, canceled or aborted, not %s', coalesce(quote_literal(left(u.status, 100)), 'null'))
      when length(u.model) > 300 then 'p_usage: model must have at most 300 characters'
      -- NaN counts as greater than every number.
      when u.predict_seconds not between 0 and 1000000 then
        format('p_usage: predict_seconds must be between 0 and 1000000, not %s', u.predict_seconds)
      when u.images not between 0 and 1000 then format('p_usage: images must be between 0 and 1000, not %s', u.images)
    end)
  into v_refusal
  from jsonb_to_recordset(p_outcomes) o (usage jsonb)
  cross join lateral jsonb_to_recordset(o.usage) u (
    id text, model text, status text, predict_seconds double precision, images int);
  if v_refusal is not null then
    raise exception '%', v_refusal using errcode = '22023';
  end if;

  -- In the order of the ids: two calls with the same ones must not wait for each other in a ring.
  insert into public.usage_ledger (id, job_id, user_id, model, status, predict_seconds, images, cost)
  select u.id, o.job_id, left(j.payload ->> 'user_id', 200), nullif(lower(split_part(u.model, ':', 1)), ''), u.status,
    u.predict_seconds, u.images,
    case
      when coalesce(p.per_second, p.per_image) is null then null
      when u.status = 'aborted' then 0
      when p.per_second is not null and u.predict_seconds is null or p.per_image is not null and u.images is null then null
      else coalesce(u.predict_seconds::numeric * p.per_second, 0) + coalesce(u.images * p.per_image, 0)
    end
  from jsonb_to_recordset(p_outcomes) o (job_id uuid, usage jsonb)
  cross join lateral jsonb_to_recordset(o.usage) u (
    id text, model text, status text, predict_seconds double precision, images int)
  left join public.job_queue j on j.id = o.job_id
  left join public.model_prices p on p.model = lower(split_part(u.model, ':', 1))
  where o.job_id is not null
  order by u.id
  on conflict (id) do nothing;
  perform process_jobs.look_at_budget();
end
$$;

-- ── notify/address_refusal.sql ──

-- address_refusal: why nobody may be notified at this address, or null if it may be; p_name is its name for the message.
--
-- p_public_only  true, for an address that a user has given: https, on its own port, by a name of the public DNS. Neither
--                numbers of hosts in any spelling nor names of an internal network are such names. false, for an
--                operator's: any http or https address
--
-- No user or password in either: they would be shown with the job. Only plain characters, of which every parser of URLs
-- makes the same host; the worker looks once more, with the parser that the call goes by.
create or replace function process_jobs.address_refusal(p_name text, p_url text, p_public_only boolean) returns text
language plpgsql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_rest constant text := '(?:[/?#][a-z0-9._~:/?#\[\]@!$&''()*+,;=%-]*)?$';
  v_public constant text := '^https://(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+([a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)';
  v_inside constant text[] := '{localhost,localdomain,local,internal,intranet,private,corp,home,lan,arpa,test,invalid,onion}';
begin
  return case
    when length(p_url) > 2048 then format('%s must have at most 2048 characters, not %s', p_name, length(p_url))
    when p_url !~* ('^https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?' || v_rest) then
      format('%s must be an http or https address without user and password, such as https://example.com/hook', p_name)
    when p_public_only
      and coalesce(lower((regexp_match(p_url, v_public || v_rest, 'i'))[1]) = any (v_inside), true)
    then
      format('%s must be an https address with a public host name, without port, such as https://example.com/hook', p_name)
  end;
end
$$;

-- ── notify/calling_user.sql ──

-- calling_user: the user of the app whose call this is: the token's `sub`, else the role; null if it is none's. A user's is
-- a call over REST, or of a session with another role set, whose role is not service_role or one that may become it.
create or replace function process_jobs.calling_user() returns text
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_claims jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
  v_role text := coalesce(v_claims ->> 'role', nullif(current_setting('role'), 'none'));
begin
  return case
    when v_role is not null and not exists (
      select from pg_catalog.pg_roles r where r.rolname = v_role and pg_has_role(r.oid, 'service_role', 'member'))
    then coalesce(v_claims ->> 'sub', v_role)
  end;
end
$$;

-- ── notify/check_notify_url.sql ──

-- check_notify_url: trigger on job_queue; refuses (22023) a notify_url that address_refusal refuses, whoever writes it.
--
-- What a user gives must be a public address, and the job says whose it is (notify_user), for the worker to look again and
-- to sign it with that user's secret. Not the address that the job's type has, nor what a job hands on: those are looked at
-- where they are given.
--
-- Rows that a restore inserts, whose times are not of now, are left as they are.
create or replace function process_jobs.check_notify_url() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user text := case
    when current_setting('process_jobs.hands_on', true) is distinct from 'on' then process_jobs.calling_user()
  end;
  v_owner text := new.notify_user;
  v_refusal text;
begin
  if v_user is not null then
    v_owner := case
      when tg_op = 'UPDATE' and (new.notify_url, new.job_type) is not distinct from (old.notify_url, old.job_type) then old.notify_user
      when new.notify_url is distinct from (select t.notify_url from public.job_types t where t.job_type = new.job_type) then v_user
    end;
  elsif tg_op = 'INSERT' and new.created_at <> now() and new.updated_at <> now() then
    return new;
  end if;
  v_refusal := process_jobs.address_refusal('notify_url', new.notify_url, v_owner is not null);
  if v_refusal is not null then
    raise exception '%', v_refusal using errcode = '22023';
  end if;
  if tg_op = 'INSERT' then
    new.notify_user := v_owner;
  elsif new.notify_user is distinct from v_owner then
    if new.status in ('completed', 'failed', 'cancelled') then
      raise exception 'notify_url and notify_user stay as they are when a job ends' using errcode = '42501';
    end if;
    perform set_config('process_jobs.hands_on', 'on', true);
    update public.job_queue j set notify_user = v_owner where j.id = new.id;
    perform set_config('process_jobs.hands_on', '', true);
  end if;
  return new;
end
$$;

create or replace trigger process_jobs_check_notify_url
  before insert on public.job_queue
  for each row
  when (new.notify_url is not null)
  execute function process_jobs.check_notify_url();
-- (After: a trigger before each update would have claims and settles lock their rows once more.)
create or replace trigger process_jobs_check_changed_notify_url
  after update of notify_url, notify_user, job_type on public.job_queue
  for each row
  when (new.notify_url is not null)
  execute function process_jobs.check_notify_url();

-- ── notify/notify_end.sql ──

-- notify_end: for keep_places. When a job with a notify_url ends, whoever ends it, a deliver-webhook job is enqueued in the
-- same transaction, with what is to be sent:
--
--   {"type": "job.completed" | "job.failed" | "job.cancelled", "timestamp": when it ended,
--    "data": {job_id, job_type, status, attempt_number, error_message?, unique_key?, generation_id?, user_id?,
--             result? | result_omitted?}}
--
-- generation_id and user_id are those of the payload; a result of more than 8192 bytes is left out, and result_omitted is
-- true. A completed job with follow-ups has handed its notify_url on to them: theirs are the ends that count (settle_jobs
-- passes this by; here is one that retry_job completes). A job that delivers notifies nobody of its own.
--
-- Where that job cannot be enqueued, as the app's own checks may refuse it, the end holds all the same, and it is
-- enqueued later (job_troubles of kind notify).
create or replace function process_jobs.notify_end(p_old public.job_queue, p_new public.job_queue) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_ended constant text[] := '{completed,failed,cancelled}';
  v_result_fits boolean := octet_length(p_new.result::text) <= 8192;
begin
  if p_new.status::text <> all (v_ended)
    or p_new.job_type = 'deliver-webhook'
    or p_new.status = 'completed' and p_new.follow_ups <> '[]'
    -- Not cancelled yet: it will be put back (keep_places).
    or process_jobs.is_wish_to_cancel(p_old, p_new)
    or p_old.status::text = any (v_ended)
      and not exists (select from process_jobs.job_troubles t where t.job_id = p_new.id and t.kind = 'notify')
  then
    return;
  end if;
  begin
    perform set_config('process_jobs.hands_on', 'on', true);
    perform process_jobs.insert_job(
      'deliver-webhook',
      jsonb_strip_nulls(jsonb_build_object('url', p_new.notify_url, 'user_id', p_new.notify_user))
        || jsonb_build_object('body', jsonb_build_object(
          'type', 'job.' || p_new.status,
          'timestamp', to_char(coalesce(p_new.completed_at, now()) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
          'data', jsonb_strip_nulls(jsonb_build_object(
              'job_id', p_new.id, 'job_type', p_new.job_type, 'status', p_new.status, 'attempt_number', p_new.attempt_number,
              'error_message', left(p_new.error_message, 2000), 'unique_key', p_new.unique_key,
              'generation_id', left(p_new.payload ->> 'generation_id', 200), 'user_id', left(p_new.payload ->> 'user_id', 200),
              'result_omitted', nullif(not v_result_fits, false)))
            || case when v_result_fits then jsonb_build_object('result', p_new.result) else '{}' end)),
      0, 18, null, null, p_new.created_by::text);
    perform set_config('process_jobs.hands_on', '', true);
  exception
    when others then
      if process_jobs.is_server_state(sqlstate) or sqlstate like '55%' then
        raise;
      end if;
      perform process_jobs.note_job_trouble(p_new.id, 'notify', 'nobody is notified of its end: ' || sqlerrm);
  end;
end
$$;

-- ── notify/notify_job_type.sql ──

-- deliver-webhook: tries again for a day. 18 attempts wait 5 s, 10 s, 20 s … 2.8 h, and then 4 h each: 25.7 h in all.
insert into public.job_types (job_type, backoff_max_seconds)
values ('deliver-webhook', 14400)
on conflict (job_type) do nothing;

-- ── schedule/call_worker.sql ──

-- call_worker: calls the function through pg_net, once the transaction has committed; returns pg_net's request id. For
-- tick and ring.
--
-- pg_net drops the connection after p_timeout_milliseconds, therefore `Prefer: respond-async`: the function answers at
-- once and works on. Its answer is ignored. Refuses (55000), and says what to do, where the key cannot be read, pg_net or
-- the URL is missing, or pg_net does not send what it has been given.
create or replace function process_jobs.call_worker(p_function_url text, p_timeout_milliseconds int) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_http_post regprocedure := to_regprocedure('net.http_post(text, jsonb, jsonb, jsonb, integer)');
  v_queue regclass := to_regclass('net.http_request_queue');
  v_secret_key text;
  v_unsent int;
  v_request_id bigint;
begin
  begin
    v_secret_key := process_jobs.read_secret();
  exception
    when others then
      raise exception 'the key cannot be read, so the function was not called: % (call schedule_process_jobs with p_secret_key)', sqlerrm
        using errcode = '55000';
  end;
  if coalesce(v_secret_key, '') = '' then
    raise exception 'no key is stored, so the function was not called: call schedule_process_jobs with p_secret_key'
      using errcode = '55000';
  elsif v_http_post is null then
    raise exception 'pg_net is not installed, so the function was not called: create extension pg_net' using errcode = '55000';
  elsif (p_function_url ~ '^https?://') is not true or p_timeout_milliseconds is null then
    raise exception 'there is no address or no time-out, so the function was not called: call schedule_process_jobs again'
      using errcode = '55000';
  end if;
  -- (In a serializable transaction the look would be a reason not to commit beside another that calls.)
  if v_queue is not null and current_setting('transaction_isolation') <> 'serializable' then
    execute format('select count(*) from (select from %s q where q.url = $1 limit 20) unsent', v_queue)
    using p_function_url
    into v_unsent;
    if v_unsent = 20 then
      raise exception 'pg_net does not send, so the function was not called: 20 calls wait in net.http_request_queue (select net.worker_restart())'
        using errcode = '55000';
    end if;
  end if;
  execute format(
    'select %s(url := $1, body := $2, headers := $3, timeout_milliseconds := $4)', v_http_post::regproc)
  using p_function_url, '{}'::jsonb,
    jsonb_build_object(
      'apikey', v_secret_key, 'Content-Type', 'application/json', 'Prefer', 'respond-async'),
    p_timeout_milliseconds
  into v_request_id;
  return v_request_id;
end
$$;

-- ── schedule/extensions.sql ──

-- Creates pg_cron and pg_net, which schedule_process_jobs needs, if the server offers them.
--
-- pg_cron lives in one database of a cluster (cron.database_name) and must be preloaded. If it cannot be created, as on
-- a server without one of them, everything but the schedule works.
do $$
declare
  v_extension text;
begin
  foreach v_extension in array array['pg_cron', 'pg_net'] loop
    if not exists (select from pg_catalog.pg_available_extensions where name = v_extension) then
      raise notice '% is not available: schedule_process_jobs will refuse, the rest works', v_extension;
      continue;
    end if;
    begin
      if v_extension = 'pg_net' and to_regnamespace('extensions') is not null then
        create extension if not exists pg_net with schema extensions;
      else
        execute format('create extension if not exists %I', v_extension);
      end if;
    exception
      when others then
        raise notice '% could not be made (%): schedule_process_jobs will refuse, the rest works', v_extension, sqlerrm;
    end;
  end loop;
end
$$;

-- ── schedule/prune_runs.sql ──

-- prune_runs: deletes pg_cron's records of process-jobs' cron runs, 1,440 a day, that are over a week old; returns
-- their number. The cron job process-jobs-prune-runs calls it, whatever the other's schedule is.
--
-- Runs are recognised by their command, so those of a cron job that was scheduled anew count too. Runs of other cron
-- jobs stay. If the records may not be deleted it fails, which shows in cron.job_run_details.
create or replace function process_jobs.prune_runs() returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_runs regclass := to_regclass('cron.job_run_details');
  v_pruned int := 0;
begin
  if v_runs is not null then
    -- By the number of the run: some that never began have no time.
    execute format(
      $q$
      delete from %1$s d
      where d.command ~ $1 and d.username = current_user and d.database = current_database()
        and d.runid <= (
          select max(old.runid) from %1$s old
          where old.command ~ $1 and old.username = current_user and old.database = current_database()
            and old.start_time < now() - interval '7 days'
        )
      $q$, v_runs)
    using '^select process_jobs\.(tick|prune_runs)\(';
    get diagnostics v_pruned = row_count;
  end if;
  return v_pruned;
end
$$;

-- ── schedule/read_secret.sql ──

-- read_secret: the key for scheduled calls, from Vault if it exists (under the name process_jobs_secret_key), else, or
-- if Vault has none of that name, from the table process_jobs.secret; null: none is stored.
--
-- Only for the owner's functions. Vault is queried through execute, because it need not exist.
create or replace function process_jobs.read_secret() returns text
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_vault regclass := to_regclass('vault.decrypted_secrets');
  v_secret_key text;
begin
  if v_vault is not null then
    execute format('select decrypted_secret from %s where name = $1', v_vault)
    using 'process_jobs_secret_key'
    into v_secret_key;
  end if;
  return coalesce(v_secret_key, (select s.secret_key from process_jobs.secret s));
end
$$;

-- ── schedule/ring.sql ──

-- ring: calls the scheduled function, so that what has become ready need not wait for the tick.
--
-- Never fails, and waits 20 ms at most for a table of pg_net's that somebody has locked; what stood in its way is kept for
-- process_jobs_doctor, and the tick makes up for it. What the worker itself makes needs no ring, for it looks after each of
-- its calls.
create or replace function process_jobs.ring() returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '20ms'
as $$
declare
  v_function_url text;
  v_timeout_milliseconds int;
  v_failure text;
begin
  select f.function_url, f.timeout_milliseconds into v_function_url, v_timeout_milliseconds
  from process_jobs.scheduled_function f;
  if not found then
    return;
  end if;
  if nullif(current_setting('request.headers', true), '')::json ->> 'x-client-info' = 'process-jobs' then
    return;
  end if;
  -- Before the call: a call that fails is not tried again with each job.
  perform setval('process_jobs.last_ring', (extract(epoch from clock_timestamp()) * 1000)::bigint);
  perform process_jobs.call_worker(v_function_url, v_timeout_milliseconds);
exception
  when others then
    v_failure := sqlerrm;
    begin
      update process_jobs.scheduled_function f
      set ring_failed_at = clock_timestamp(), ring_failure = v_failure
      where f.only_row = any (array(select l.only_row from process_jobs.scheduled_function l for update skip locked));
    exception
      when others then
        null;
    end;
end
$$;

-- ── schedule/ring_at_commit.sql ──

-- ring_at_commit: trigger on ready_jobs: a transaction that has made jobs ready rings once, when it commits, whoever made
-- them and in however many statements; unless somebody rang in the last 250 ms. For what it leaves to that ring,
-- seconds_until_next_job has every drain look once more, 500 ms after the last ring: what decides by then has another
-- 250 ms to be committed.
--
-- place_inserted and keep_places name the job for it, and place_jobs has the setting process_jobs.ring say `asked` until the
-- transaction ends or the savepoint is rolled back to, as the trigger's event. What a drain's own calls make ready, but for
-- follow-ups, rings nobody.
create or replace function process_jobs.ring_at_commit() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- (Not between 0 and 250, in one expression: each costs.)
  if abs(date_part('epoch', clock_timestamp()) * 1000 - pg_sequence_last_value('process_jobs.last_ring') - 125) > 125 then
    perform process_jobs.ring();
  end if;
  return null;
end
$$;

do $$
begin
  if not exists (
    select from pg_catalog.pg_trigger t
    where t.tgname = 'ring_at_commit' and t.tgrelid = 'process_jobs.ready_jobs'::regclass)
  then
    create constraint trigger ring_at_commit
      after insert on process_jobs.ready_jobs deferrable initially deferred
      for each row when (new.rings) execute function process_jobs.ring_at_commit();
  end if;
end
$$;

-- ── schedule/schedule_process_jobs.sql ──

-- schedule_process_jobs: has the function called whenever a job is ready: at once by whoever makes it ready (ring), and by
-- pg_cron for what that has missed; returns pg_cron's job id.
--
-- Creates or replaces the cron job process-jobs-worker, which runs process_jobs.tick, and process-jobs-prune-runs,
-- which runs process_jobs.prune_runs each night.
-- p_function_url           https://<project>.supabase.co/functions/v1/process-jobs
-- p_secret_key             a secret or service-role key, of characters that a header can carry; stored in Vault if it
--                          exists, never in the cron job's text; null keeps the stored one
-- p_schedule               five cron fields, or 'N seconds' (1 to 59) from pg_cron 1.5 on
-- p_timeout_milliseconds   1 to 60000, for the 202 only, not for the work
--
-- Refuses (22023) arguments out of these bounds, placeholders of an example, and a schedule of six fields, which hosted
-- pg_cron accepts and misreads; (55000) if pg_cron or pg_net is missing or no key is known.
create or replace function public.schedule_process_jobs(
  p_function_url text,
  p_secret_key text default null,
  p_schedule text default '* * * * *',
  p_timeout_milliseconds int default 5000
) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_schedule text := btrim(p_schedule);
  v_seconds int := substring(btrim(p_schedule) from '^(\d{1,4}) seconds?$')::int;
  -- '1.4-1', '1.6'
  v_cron_version text := (
    select substring(e.extversion from '^\d+\.\d+') from pg_catalog.pg_extension e where e.extname = 'pg_cron'
  );
  v_schedule_job regprocedure := to_regprocedure('cron.schedule(text, text, text)');
  v_cron_job_id bigint;
begin
  if p_function_url is null or p_function_url !~ '^https?://[^\s/]+(/\S*)?$' then
    raise exception 'p_function_url must be an http or https url, not %', coalesce(quote_literal(p_function_url), 'null')
      using errcode = '22023';
  end if;
  -- An example, pasted as it stands.
  if p_function_url ~ '[<>]' then
    raise exception 'p_function_url still has a placeholder: %', quote_literal(p_function_url) using errcode = '22023';
  end if;
  if p_secret_key ~ '[<>…]' then
    raise exception 'p_secret_key is still a placeholder: give a secret or service-role key' using errcode = '22023';
  end if;
  if p_secret_key = '' then
    raise exception 'p_secret_key must not be empty' using errcode = '22023';
  end if;
  if p_secret_key !~ '^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$' then
    raise exception 'p_secret_key must have no line ends, blanks around it or other characters that a header cannot carry'
      using errcode = '22023';
  end if;
  if p_timeout_milliseconds is null or p_timeout_milliseconds not between 1 and 60000 then
    raise exception 'p_timeout_milliseconds must be between 1 and 60000, not %', coalesce(p_timeout_milliseconds::text, 'null')
      using errcode = '22023';
  end if;
  if (v_seconds between 1 and 59 or v_schedule ~ '^\S+(\s+\S+){4}$') is not true then
    raise exception 'p_schedule must have five cron fields or be ''N seconds'' with N from 1 to 59, not %',
      coalesce(quote_literal(p_schedule), 'null')
      using errcode = '22023';
  end if;

  if v_cron_version is null then
    raise exception 'pg_cron is not installed in this database: create extension pg_cron, or call the function by other means'
      using errcode = '55000';
  end if;
  if to_regprocedure('net.http_post(text, jsonb, jsonb, jsonb, integer)') is null then
    raise exception 'pg_net is not installed in this database: create extension pg_net, or call the function by other means'
      using errcode = '55000';
  end if;
  if v_seconds is not null and string_to_array(v_cron_version, '.')::int[] < array[1, 5] then
    raise exception 'pg_cron % takes no seconds, 1.5 and later do: p_schedule must have five cron fields, not %',
      v_cron_version, quote_literal(p_schedule)
      using errcode = '22023';
  end if;
  if p_secret_key is not null then
    perform process_jobs.store_secret(p_secret_key);
  elsif process_jobs.read_secret() is null then
    raise exception 'no key is stored yet: give p_secret_key, a secret or service-role key' using errcode = '55000';
  end if;

  -- One of that name that an app has had before is replaced, and comes back when process-jobs is taken out.
  execute format(
    $q$
    insert into process_jobs.undo (statement)
    select format('select %%s(%%L, %%L, %%L)', $1, j.jobname, j.schedule, j.command)
    from %s j
    where j.jobname = 'process-jobs-worker' and j.username = current_user and j.command !~ '^select process_jobs\.'
    $q$, to_regclass('cron.job'))
  using v_schedule_job::regproc;
  execute format('select %s($1, $2, $3)', v_schedule_job::regproc)
  using 'process-jobs-worker', v_schedule,
    format('select process_jobs.tick(%L, %s)', p_function_url, p_timeout_milliseconds)
  into v_cron_job_id;
  execute format('select %s($1, $2, $3)', v_schedule_job::regproc)
  using 'process-jobs-prune-runs', '17 3 * * *', 'select process_jobs.prune_runs()';
  insert into process_jobs.scheduled_function as f (function_url, timeout_milliseconds)
  values (p_function_url, p_timeout_milliseconds)
  on conflict (only_row) do update
  set function_url = excluded.function_url, timeout_milliseconds = excluded.timeout_milliseconds,
    ring_failed_at = null, ring_failure = null;
  perform setval('process_jobs.last_ring', 1);
  return v_cron_job_id;
end
$$;

revoke execute on function public.schedule_process_jobs(text, text, text, int) from public, anon, authenticated;
grant execute on function public.schedule_process_jobs(text, text, text, int) to service_role;

-- ── schedule/scheduled_function.sql ──

-- scheduled_function: the function that schedule_process_jobs was told of, which a job that is ready rings (ring); no row:
-- none is scheduled, and nothing is rung.
--
-- ring_failed_at, ring_failure  of the last ring that failed; it is the last one of all while last_ring is not later
create table if not exists process_jobs.scheduled_function (
  only_row boolean primary key default true,
  function_url text not null,
  timeout_milliseconds int not null,
  ring_failed_at timestamptz,
  ring_failure text,
  constraint scheduled_function_is_one_row check (only_row)
);

-- last_ring: the millisecond of the last ring. A sequence, which every session sees at once, whatever its snapshot, and
-- which makes nobody wait. It has a value from the first schedule_process_jobs on.
create sequence if not exists process_jobs.last_ring;

-- ── schedule/secret.sql ──

-- secret: the key for scheduled calls, at most one row, if there is no Vault.
--
-- Only the tables' owner reads it: no role of the API has a privilege on it, service_role included. It is plain text,
-- also in a dump: exclude it with --exclude-table-data=process_jobs.secret.
create table if not exists process_jobs.secret (
  only_row boolean primary key default true,
  secret_key text not null,
  constraint secret_is_one_row check (only_row)
);

-- ── schedule/store_secret.sql ──

-- store_secret: stores the key for scheduled calls where read_secret looks for it; a second call replaces the first
-- key. In the table the key is plain text, and a notice says so; a key stored there before Vault existed is deleted.
-- Only for the owner's functions.
create or replace function process_jobs.store_secret(p_secret_key text) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_vault regclass := to_regclass('vault.decrypted_secrets');
  v_secret_id uuid;
begin
  if v_vault is null then
    insert into process_jobs.secret (secret_key) values (p_secret_key)
    on conflict (only_row) do update set secret_key = excluded.secret_key;
    raise notice 'there is no Vault: the key lies in process_jobs.secret as plain text, and so it does in a dump without --exclude-table-data=process_jobs.secret';
    return;
  end if;
  delete from process_jobs.secret;

  execute format('select id from %s where name = $1', v_vault)
  using 'process_jobs_secret_key'
  into v_secret_id;
  if v_secret_id is null then
    execute format('select %s($1, $2, $3)', to_regproc('vault.create_secret'))
    using p_secret_key, 'process_jobs_secret_key', 'the key with which pg_cron calls process-jobs';
  else
    execute format('select %s($1, $2)', to_regproc('vault.update_secret')) using v_secret_id, p_secret_key;
  end if;
end
$$;

-- ── schedule/tick.sql ──

-- tick: run by the cron job process-jobs-worker: calls the function if a job is ready or a lease has expired, and
-- returns pg_net's request id; null: nothing to do, no call.
--
-- The next tick makes up for a lost call. A tick that cannot call (call_worker) fails, which shows in
-- cron.job_run_details.
create or replace function process_jobs.tick(p_function_url text, p_timeout_milliseconds int) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- In the new month no drain would come to resume the type.
  perform process_jobs.look_at_budget();
  if public.seconds_until_next_job() is distinct from 0 then
    return null;
  end if;
  return process_jobs.call_worker(p_function_url, p_timeout_milliseconds);
end
$$;

-- ── schedule/unschedule_process_jobs.sql ──

-- unschedule_process_jobs: removes the cron jobs process-jobs-worker and process-jobs-prune-runs, and ends the rings; true:
-- removed, false: there was none.
--
-- The stored key stays, so that schedule_process_jobs needs none the next time. Cron jobs of the same names with
-- another command are not process-jobs' and stay.
create or replace function public.unschedule_process_jobs() returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_cron_jobs regclass := to_regclass('cron.job');
  v_removed boolean;
begin
  delete from process_jobs.scheduled_function;
  if v_cron_jobs is null then
    return false;
  end if;
  execute format(
    'select coalesce(bool_or(%s(jobid) and jobname = $1), false) from %s
    where jobname in ($1, $2) and username = current_user and command ~ ''^select process_jobs\.(tick|prune_runs)\(''',
    to_regprocedure('cron.unschedule(bigint)')::regproc, v_cron_jobs)
  using 'process-jobs-worker', 'process-jobs-prune-runs'
  into v_removed;
  return v_removed;
end
$$;

revoke execute on function public.unschedule_process_jobs() from public, anon, authenticated;
grant execute on function public.unschedule_process_jobs() to service_role;

-- ── users/cancel_generation.sql ──

-- cancel_generation: cancels the unfinished jobs of a generation of the signed-in user (cancel_job); true: cancelled or
-- being cancelled, false: it has ended, does not exist, or is somebody else's.
create or replace function public.cancel_generation(p_id text) returns boolean
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set jit = off
as $$
declare
  v_user_id text := process_jobs.signed_in_user();
  v_job_id uuid;
  v_seen uuid[] := '{}';
  v_cancelled boolean := false;
begin
  -- One by one: where a job ends meanwhile, the one that follows it is found by the next look.
  loop
    select j.id into v_job_id
    from public.job_queue j
    where j.payload ->> 'generation_id' = p_id and j.job_type in ('generate-image', 'download-image')
      and j.payload ->> 'user_id' = v_user_id and j.status in ('pending', 'processing') and j.id <> all (v_seen)
    limit 1;
    exit when not found;
    v_cancelled := public.cancel_job(v_job_id) or v_cancelled;
    v_seen := v_seen || v_job_id;
  end loop;
  return v_cancelled;
end
$$;

revoke execute on function public.cancel_generation(text) from public, anon, service_role;
grant execute on function public.cancel_generation(text) to authenticated;

-- ── users/check_source_address.sql ──

-- check_source_address: refuses a source picture that is neither a public address nor the user's own object.
--
-- A worker signs private objects of the project's Storage with its service key, so whoever names one must own it. The
-- database does not know under which address that Storage is reached: whatever could be an object of any is taken for
-- one of ours. So that a URL parser has nothing to mend or resolve, an address is made of nothing but characters that
-- need no escaping and single escapes, and what is checked is what a worker reads:
--
-- /storage/v1/object/[sign/|authenticated/]<bucket>/<name>   an object of the user's (owns_object)
-- /storage/v1/object/public/<bucket>/<name>                  in a bucket that is public
-- anything else                                              https, by a name that is not of a private network
--
-- Bucket and name are of A-Z a-z 0-9 _ . - ( ) and %20. A local stack's Storage may be named by http. Refuses (22023)
-- another form, (PT403) an object that is not there or not theirs: the same answer for both.
create or replace function process_jobs.check_source_address(p_user_id text, p_url text, p_field text) returns void
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_host constant text := '(?:[A-Za-z0-9_-]+\.)+[A-Za-z][A-Za-z0-9-]*';
  v_local constant text := 'http://(?:127\.0\.0\.1|localhost|host\.docker\.internal|kong)(?::[1-9][0-9]{0,4})?';
  v_name constant text := '(?:[A-Za-z0-9_.()-]|%20)+';
  v_decoded text;
  v_object text[];
  v_is_theirs boolean := false;
begin
  if p_url is null or length(p_url) > 4000 or p_url !~ '^[A-Za-z0-9_.~!$&()*+,;=:@/?#%-]+$'
    or p_url ~ '%(?![0-9A-Fa-f]{2})'
    or p_url ~* '%(?:25|[01][0-9a-f]|7f)'
  then
    raise exception '%: must be an address of at most 4000 characters, in which whatever is not of A-Z a-z 0-9 _ . ~ ! $ & ( ) * + , ; = : @ / ? # - is escaped once', p_field
      using errcode = '22023';
  end if;

  select translate(lower(string_agg(
    case when m.part[1] ~ '^%[2-7]' then chr(('x' || substr(m.part[1], 2))::bit(8)::int) else m.part[1] end, '' order by m.n)), '\', '/')
  into v_decoded
  from regexp_matches(p_url, '%..|[^%]+', 'g') with ordinality m (part, n);
  if v_decoded ~ '/\.{1,2}(?:[/?#;]|$)' then
    raise exception '%: must be without . and .. in its path', p_field using errcode = '22023';
  elsif p_url !~ ('^' || v_local || '/storage/v1/object/')
    and process_jobs.address_refusal(p_field, substring(p_url from '^https://[^/?#]*'), true) is not null
  then
    raise exception '%: must begin with https:// and the public name of a host, without user, port or number of an address', p_field
      using errcode = '22023';
  elsif v_decoded !~ 'storage/+v1' then
    return;
  end if;

  v_object := regexp_match(p_url, format(
    '^(?:https://%s|%s)/storage/v1/object/(?:(public|sign|authenticated)/)?(%s)/(%3$s(?:/%3$s)*)(?:\?[^#]*)?$', v_host, v_local, v_name));
  if v_object is null or v_object[2] in ('public', 'sign', 'authenticated') then
    raise exception '%: an object of Storage must be named as …/storage/v1/object/<bucket>/<name>, with nothing but A-Z a-z 0-9 _ . - ( ) and %%20 in both', p_field
      using errcode = '22023';
  elsif v_object[1] is distinct from 'public' then
    v_is_theirs := process_jobs.owns_object(p_user_id, replace(v_object[2], '%20', ' '), replace(v_object[3], '%20', ' '));
  elsif to_regclass('storage.buckets') is not null then
    execute format(
      $q$ select coalesce(bool_or((to_jsonb(b) ->> 'public')::boolean), false) from %s b where b.id = $1 $q$,
      to_regclass('storage.buckets'))
    into v_is_theirs using replace(v_object[2], '%20', ' ');
  end if;
  if not v_is_theirs then
    perform process_jobs.refuse('403', p_field || ': is neither an object of yours nor in a public bucket; upload the picture as the signed-in user');
  end if;
end
$$;

-- ── users/check_user_limits.sql ──

-- check_user_limits: refuses what goes beyond the limits of the signed-in user; p_payload is that of a generate-image
-- job, p_priority null is not looked at. Only for functions that hold the user's turn (take_users_turn).
--
-- Refuses (PT403) what the user may never ask for, (PT429) what they may ask for later. The detail tells the limit,
-- what is allowed and used, and until when.
create or replace function process_jobs.check_user_limits(p_user_id text, p_payload jsonb, p_priority int) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_limits public.user_limits := process_jobs.limits_of(p_user_id);
  v_model text := p_payload ->> 'model_id';
  v_pixels numeric := coalesce(process_jobs.plain_number(p_payload -> 'width'), 1024)
    * coalesce(process_jobs.plain_number(p_payload -> 'height'), 1024);
  v_outputs numeric := coalesce(process_jobs.plain_number(p_payload -> 'num_outputs'), 1);
  v_max_priority int := coalesce(v_limits.max_priority, 0);
  v_open text[];
  v_used bigint;
  v_until timestamptz;
begin
  if v_limits.applies_to is null then
    perform process_jobs.refuse('403', 'requests are not open to you: no row of user_limits applies; whoever runs the project adds one');
  elsif 0 in (v_limits.max_open, v_limits.max_per_day) then
    perform process_jobs.refuse('403', 'requests are closed to you: max_open or max_per_day is 0');
  elsif v_model <> all (v_limits.allowed_models) then
    perform process_jobs.refuse('403', format('p_model_id: %s is not among the models that you may use: %s',
      left(v_model, 100), coalesce(nullif(array_to_string(v_limits.allowed_models, ', '), ''), 'none')),
      jsonb_build_object('limit', 'allowed_models', 'allowed', v_limits.allowed_models));
  elsif v_pixels > v_limits.max_pixels then
    perform process_jobs.refuse('403', format('width x height: %s pixels are more than the %s that you may ask for', v_pixels, v_limits.max_pixels),
      jsonb_build_object('limit', 'max_pixels', 'allowed', v_limits.max_pixels));
  elsif v_outputs > v_limits.max_outputs then
    perform process_jobs.refuse('403', format('num_outputs: %s are more than the %s that you may ask for', v_outputs, v_limits.max_outputs),
      jsonb_build_object('limit', 'max_outputs', 'allowed', v_limits.max_outputs));
  elsif p_priority > v_max_priority then
    perform process_jobs.refuse('403', format('priority: %s is more than the %s that you may ask for', p_priority, v_max_priority),
      jsonb_build_object('limit', 'max_priority', 'allowed', v_max_priority));
  end if;

  if v_limits.max_open is not null then
    v_open := process_jobs.open_generations(p_user_id);
    -- What has ended since the last request is not looked at again.
    update process_jobs.requests r
    set ended_at = now()
    where r.user_id = p_user_id and r.ended_at is null and r.generation_id <> all (v_open);
    v_used := cardinality(v_open);
    if v_used >= v_limits.max_open then
      perform process_jobs.refuse('429', format('%s of your %s generations at once are under way: ask again when one has ended', v_used, v_limits.max_open),
        jsonb_build_object('limit', 'max_open', 'allowed', v_limits.max_open, 'used', v_used));
    end if;
  end if;

  if v_limits.max_per_day is not null then
    select d.used, d.until into v_used, v_until from process_jobs.day_of(p_user_id, v_limits.max_per_day) d;
    if v_used >= v_limits.max_per_day then
      perform process_jobs.refuse('429', format('%s of your %s requests in 24 hours are used: the next is possible %s', v_used, v_limits.max_per_day,
        to_char(v_until at time zone 'UTC', '"at" YYYY-MM-DD"T"HH24:MI:SS"Z"')),
        jsonb_build_object('limit', 'max_per_day', 'allowed', v_limits.max_per_day, 'used', v_used, 'until', v_until));
    end if;
  end if;
end
$$;

-- ── users/day_of.sql ──

-- day_of: a user's requests of the last 24 hours, and when one more is possible under a limit; null: now, or never.
create or replace function process_jobs.day_of(p_user_id text, p_limit int) returns table (used bigint, until timestamptz)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select count(*), min(d.created_at) filter (where d.place = p_limit) + interval '24 hours'
  from (
    select r.created_at, row_number() over (order by r.created_at desc, r.n desc) as place
    from process_jobs.requests r
    where r.user_id = p_user_id and r.created_at > now() - interval '24 hours'
  ) d;
end
$$;

-- ── users/get_generation.sql ──

-- get_generation: where a generation of the signed-in user stands, as long as its jobs are kept: {id, user_id, status,
-- progress, error_message?, usual_seconds?, images?}; null: there is none, or it is somebody else's.
--
-- The same whatever the app's tables look like, and what Realtime tells on the topic process-jobs:<user_id>
-- (tell_generation): status queued, processing, downloading, completed, failed or cancelled; progress 0 to 100; images of
-- a completed one, [{filename, storage_path, public_url, width, height, format}].
create or replace function public.get_generation(p_id text) returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set jit = off
as $$
declare
  v_user_id text := process_jobs.signed_in_user();
  v_job record;
  v_row jsonb;
  v_status text;
  v_progress int;
begin
  select j.status::text, j.result, j.error_message, j.payload ->> 'model_id' as model into v_job
  from public.job_queue j
  where j.payload ->> 'generation_id' = p_id and j.job_type in ('generate-image', 'download-image')
    and j.payload ->> 'user_id' = v_user_id
  order by j.created_at desc, j.id desc
  limit 1;
  if not found then
    return null;
  end if;
  if process_jobs.column_type('public.image_generations', 'id') is not null
    and not exists (select from process_jobs.image_writers w where w.writes = 'generation')
  then
    execute format('select to_jsonb(g) from public.image_generations g where g.id = %L::%s',
      p_id, process_jobs.column_type('public.image_generations', 'id'))
    into v_row;
    if v_row ->> 'user_id' is distinct from v_user_id then
      v_row := null;
    end if;
  end if;
  if v_row is not null and (select t.statuses ? 'progress' from process_jobs.image_tables t) then
    v_progress := v_row ->> 'progress';
    -- (The app's table may have no word of its own for two of them.)
    v_status := case
      when v_row ->> 'status' = 'failed' and v_job.status = 'cancelled' then 'cancelled'
      else nullif(v_row ->> 'status', 'pending')
    end;
  else
    select g.status, g.progress into v_status, v_progress
    from public.generation_progress g
    where g.user_id = v_user_id and g.generation_id = p_id;
  end if;
  v_status := coalesce(v_status, case v_job.status when 'pending' then 'queued' else v_job.status end);
  return jsonb_strip_nulls(jsonb_build_object(
    'id', p_id, 'user_id', v_user_id, 'status', v_status,
    'progress', greatest(0, least(100, coalesce(v_progress, 0))),
    'error_message', case
      when v_status in ('failed', 'cancelled') then coalesce(v_row ->> 'error_message', v_job.error_message)
    end,
    'usual_seconds', case when v_status = 'processing' then (
      select t.seconds from process_jobs.model_times t where t.model = v_job.model)
    end,
    'images', case
      when v_status <> 'completed' then null
      when jsonb_typeof(v_job.result -> 'images') = 'array' then process_jobs.told_images(v_job.result -> 'images')
      when v_job.result ->> 'storage_path' is not null then process_jobs.told_images(jsonb_build_array(v_job.result))
    end));
end
$$;

revoke execute on function public.get_generation(text) from public, anon, service_role;
grant execute on function public.get_generation(text) to authenticated;

-- ── users/limits_of.sql ──

-- limits_of: the limits of the signed-in user, of each column the most specific; applies_to is null if no row applies.
create or replace function process_jobs.limits_of(p_user_id text) returns public.user_limits
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_claims jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
  v_limits public.user_limits;
begin
  -- Of a key that comes twice the last one counts.
  select r.* into v_limits
  from (
    select jsonb_object_agg(c.key, c.value order by l.applies_to like 'user:%', l.applies_to like 'plan:%') as merged
    from public.user_limits l, jsonb_each(jsonb_strip_nulls(to_jsonb(l))) c
    -- (user_metadata is the user's to write.)
    where l.applies_to in ('all', 'plan:' || (v_claims -> 'app_metadata' ->> 'plan'), 'user:' || p_user_id)
  ) m, jsonb_populate_record(null::public.user_limits, m.merged) r;
  return v_limits;
end
$$;

-- ── users/my_limits.sql ──

-- my_limits: {limits, used, left, until} of the signed-in user; limits is null if requests are not open to them.
--
-- limits  the columns of user_limits that count for them; null: no limit
-- used    {open, day, cost}: generations under way, requests of the last 24 hours, US dollars of this month (UTC)
-- left    {open, day, cost}: how much more is possible now; null: no limit
-- until   when the next request of the day is possible, if none is now
create or replace function public.my_limits() returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id text := process_jobs.signed_in_user();
  v_limits public.user_limits := process_jobs.limits_of(v_user_id);
  v_open bigint := cardinality(process_jobs.open_generations(v_user_id));
  v_cost numeric := process_jobs.cost_of_month(v_user_id);
  v_day record;
begin
  v_limits.max_priority := coalesce(v_limits.max_priority, 0);
  select d.used, d.until into v_day from process_jobs.day_of(v_user_id, v_limits.max_per_day) d;
  return jsonb_build_object(
    'limits', case when v_limits.applies_to is not null then to_jsonb(v_limits) - 'applies_to' end,
    'used', jsonb_build_object('open', v_open, 'day', v_day.used, 'cost', v_cost),
    'left', jsonb_build_object(
      'open', v_limits.max_open - least(v_open, v_limits.max_open),
      'day', v_limits.max_per_day - least(v_day.used, v_limits.max_per_day),
      'cost', v_limits.max_cost_per_month - least(v_cost, v_limits.max_cost_per_month)),
    'until', v_day.until);
end
$$;

revoke execute on function public.my_limits() from public, anon, service_role;
grant execute on function public.my_limits() to authenticated;

-- ── users/new_generation_id.sql ──

-- new_generation_id: an id for a new generation, as the column's own default or identity makes it; without one, or
-- without the table, a random uuid.
create or replace function process_jobs.new_generation_id() returns text
language plpgsql
security definer
-- The app's own functions run here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
as $$
declare
  v_table regclass := to_regclass('public.image_generations');
  v_default text := (
    select coalesce(pg_get_expr(d.adbin, d.adrelid), case when a.attidentity <> '' then format('nextval(%L)', pg_get_serial_sequence(v_table::text, 'id')) end)
    from pg_catalog.pg_attribute a
    left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = v_table and a.attname = 'id' and not a.attisdropped
  );
  v_id text;
begin
  execute format('select (%s)::text', coalesce(v_default, 'gen_random_uuid()')) into v_id;
  return v_id;
end
$$;

-- ── users/open_generations.sql ──

-- open_generations: the generations that a user has asked for and that have an unfinished job.
create or replace function process_jobs.open_generations(p_user_id text) returns text[]
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return array(
    select distinct r.generation_id
    from process_jobs.requests r
    where r.user_id = p_user_id and r.ended_at is null and exists (
      select from public.job_queue j
      where j.payload ->> 'generation_id' = r.generation_id and j.job_type in ('generate-image', 'download-image')
        and j.status in ('pending', 'processing'))
  );
end
$$;

-- ── users/owns_object.sql ──

-- owns_object: whether an object of Storage is a user's own: uploaded by them, or a picture that the worker has stored for
-- them.
--
-- An app may let users write rows of `images`, so such a row counts only for what lies where the worker stores this
-- user's pictures: in its bucket, below the user's id.
create or replace function process_jobs.owns_object(p_user_id text, p_bucket text, p_name text) returns boolean
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_is_own boolean := false;
begin
  if to_regclass('storage.objects') is not null then
    -- (Older versions of Storage have owner only, later ones may have owner_id only.)
    execute format(
      $q$
      select exists (
        select from %s o
        where o.bucket_id = $1 and o.name = $2 and coalesce(to_jsonb(o) ->> 'owner_id', to_jsonb(o) ->> 'owner') = $3)
      $q$, to_regclass('storage.objects'))
    into v_is_own using p_bucket, p_name, p_user_id;
  end if;
  if not v_is_own and starts_with(p_name, p_user_id || '/')
    and p_bucket = coalesce((select w.said ->> 'bucket' from process_jobs.worker w), 'generated-images')
    and process_jobs.column_type('public.images', 'user_id') is not null
    and process_jobs.column_type('public.images', 'storage_path') is not null
  then
    execute format('select exists (select from public.images i where i.user_id = %L::%s and i.storage_path::text = $1)',
      p_user_id, process_jobs.column_type('public.images', 'user_id'))
    into v_is_own using p_name;
  end if;
  return v_is_own;
end
$$;

-- ── users/read_options.sql ──

-- read_options: p_options of request_generation as fields of a payload, without nulls, and with whole numbers written as
-- such.
--
-- Types and ranges are those that a worker checks (src/models/request.rs), so that nothing is enqueued that must fail at
-- once. Refuses (22023) any other field, naming those that there are.
create or replace function process_jobs.read_options(p_options jsonb) returns jsonb
language plpgsql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_options jsonb;
  v_option record;
  v_number numeric;
  v_wanted text;
  v_max_sources constant int := 20;
begin
  if jsonb_typeof(p_options) <> 'object' then
    raise exception 'p_options must be a json object, not %', jsonb_typeof(p_options) using errcode = '22023';
  elsif process_jobs.json_refusal('p_options', p_options) is not null then
    raise exception '%', process_jobs.json_refusal('p_options', p_options) using errcode = '22023';
  end if;
  v_options := coalesce(jsonb_strip_nulls(p_options), '{}');

  for v_option in
    select o.key, o.value, o.value #>> '{}' as text, jsonb_typeof(o.value) as type, known.kind, known.low, known.high
    from jsonb_each(v_options) o
    left join (values
      ('negative_prompt', 'text', null, null), ('width', 'whole', 1, 16384), ('height', 'whole', 1, 16384),
      ('num_inference_steps', 'whole', 0, 4294967295), ('guidance_scale', 'number', 0, null),
      ('seed', 'whole', -9223372036854775808, 9223372036854775807), ('output_format', 'format', null, null),
      ('num_outputs', 'whole', 1, 10), ('source_image_url', 'text', 1, null), ('source_image_urls', 'texts', null, null),
      ('strength', 'number', 0, 1), ('priority', 'whole', -2147483648, 2147483647), ('idempotency_key', 'text', 1, 200),
      ('notify_url', 'text', 1, 2048)
    ) known (name, kind, low, high) on known.name = o.key
  loop
    v_number := case when v_option.type = 'number' then v_option.value::numeric end;
    v_wanted := case
      when v_option.kind in ('whole', 'number') and (
        v_number >= v_option.low and v_number <= coalesce(v_option.high, v_number)
        and (v_option.kind = 'number' or v_number = trunc(v_number))) is not true
      then concat_ws(' ', case v_option.kind when 'whole' then 'a whole number' else 'a number' end,
        'from', v_option.low, case when v_option.high is null then 'up' else 'to ' || v_option.high end)
      when v_option.kind = 'text' and v_option.type <> 'string' then 'a string'
      when v_option.kind = 'text' and not length(v_option.text) between coalesce(v_option.low, 0) and coalesce(v_option.high, 1048576)
      then format('a string of %s characters', concat_ws(' to ', v_option.low, coalesce(v_option.high, 1048576)))
      when v_option.kind = 'format' and (v_option.type = 'string' and v_option.text in ('png', 'jpg', 'jpeg', 'webp')) is not true
      then 'png, jpg, jpeg or webp'
      when v_option.kind = 'texts' and (
        v_option.type = 'array' and jsonb_array_length(case v_option.type when 'array' then v_option.value else '[]' end) between 1 and v_max_sources
        and not jsonb_path_exists(v_option.value, 'strict $[*] ? (@.type() != "string")')) is not true
      then format('a list of 1 to %s strings', v_max_sources)
    end;
    if v_option.kind is null then
      raise exception 'p_options: % is not an option, known are negative_prompt, width, height, num_inference_steps, guidance_scale, seed, output_format, num_outputs, source_image_url, source_image_urls, strength, priority, idempotency_key and notify_url',
        left(to_json(v_option.key)::text, 100) using errcode = '22023';
    elsif v_wanted is not null then
      raise exception 'p_options: % must be %, found %', v_option.key, v_wanted, case
          when v_option.type = 'number' then left(v_option.text, 100)
          when v_option.type = 'string' and v_option.kind in ('text', 'format') then 'another'
          else 'a json ' || v_option.type
        end
        using errcode = '22023';
    elsif v_option.kind = 'whole' then
      v_options := jsonb_set(v_options, array[v_option.key], to_jsonb(trunc(v_number)));
    end if;
  end loop;
  if v_options ?& '{source_image_url,source_image_urls}' then
    raise exception 'p_options: source_image_url and source_image_urls are both there' using errcode = '22023';
  end if;
  if v_options ? 'notify_url'
    and process_jobs.address_refusal('p_options: notify_url', v_options ->> 'notify_url', true) is not null
  then
    raise exception '%', process_jobs.address_refusal('p_options: notify_url', v_options ->> 'notify_url', true)
      using errcode = '22023';
  end if;
  return v_options;
end
$$;

-- ── users/refuse.sql ──

-- refuse: raises a refusal that PostgREST answers with this HTTP status: SQLSTATE PT403, PT409, PT429.
--
-- p_detail is for programs: {limit, allowed, used, until}. PostgREST puts the message into the status line too, so it is
-- one short line of ASCII, whatever a caller's texts in it hold.
create or replace function process_jobs.refuse(p_status text, p_message text, p_detail jsonb default null) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using
    errcode = 'PT' || p_status,
    message = left(regexp_replace(p_message, '[^ -~]', '?', 'g'), 500),
    detail = coalesce(p_detail::text, '');
end
$$;

-- ── users/request_generation.sql ──

-- request_generation: enqueues a generate-image job for the signed-in user and returns its generation, as they may see
-- it: {id, status, …}.
--
-- p_prompt    not empty
-- p_model_id  owner/name, owner/name:version or a version alone; where the user's models are limited, one of them, exactly
--             as it is listed
-- p_options   negative_prompt, width, height, num_inference_steps, guidance_scale, seed, output_format, num_outputs,
--             source_image_url, source_image_urls and strength of a generate-image payload, and
--             priority         higher runs first; 0 by default
--             idempotency_key  1 to 200 characters: the same request with the same key is the same generation, as long as
--                              its jobs are kept
--             notify_url       a public https address that is told of the end (deliver-webhook)
--
-- Refuses (22023) arguments out of these bounds, naming the field; (PT403) what is not the user's, or more than they may
-- ask for; (PT409) another request with a key that has been used; (PT429) more than they may ask for now; and with their
-- own error, what the tables refuse.
create or replace function public.request_generation(p_prompt text, p_model_id text, p_options jsonb default '{}') returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id text := process_jobs.signed_in_user();
  v_options jsonb := process_jobs.read_options(p_options);
  v_key text := v_options ->> 'idempotency_key';
  v_priority int := coalesce((v_options ->> 'priority')::int, 0);
  v_payload jsonb := jsonb_build_object('prompt', p_prompt, 'model_id', p_model_id)
    || (v_options - '{priority,idempotency_key,notify_url}'::text[]);
  v_hash bytea := sha256(convert_to(jsonb_build_array(v_payload, v_priority, v_options -> 'notify_url')::text, 'UTF8'));
  v_limits public.user_limits := process_jobs.limits_of(v_user_id);
  v_before record;
  v_begins_at timestamptz;
  v_id text;
begin
  -- (What a worker takes for blanks: Unicode's White_Space.)
  if coalesce(btrim(p_prompt, E' \t\n\u000b\f\r\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000'), '') = '' then
    raise exception 'p_prompt is empty' using errcode = '22023';
  elsif (p_model_id ~ '^([A-Za-z0-9][A-Za-z0-9_.-]{0,99}/[A-Za-z0-9][A-Za-z0-9_.-]{0,99}(:[0-9a-f]{64})?|[0-9a-f]{64})$') is not true then
    raise exception 'p_model_id must be owner/name, owner/name:version or a version of 64 lowercase hex digits'
      using errcode = '22023';
  elsif process_jobs.json_refusal('the request', v_payload) is not null then
    raise exception '%', process_jobs.json_refusal('the request', v_payload) using errcode = '22023';
  end if;

  perform process_jobs.take_users_turn(v_user_id);
  if v_key is not null then
    select r.* into v_before from process_jobs.requests r where r.user_id = v_user_id and r.idempotency_key = v_key;
    if found and v_before.request_hash <> v_hash then
      perform process_jobs.refuse('409', format('idempotency_key: %s was used for another request', to_json(v_key)));
    elsif found then
      return process_jobs.seen_generation(v_before.generation_id);
    end if;
  end if;
  perform process_jobs.check_user_limits(v_user_id, v_payload, v_priority);
  v_begins_at := process_jobs.check_budget(v_user_id, v_limits.max_cost_per_month, v_limits.over_budget);
  perform process_jobs.check_source_address(v_user_id, s.url, 'p_options: ' || s.field)
  from (
    select v_payload ->> 'source_image_url', 'source_image_url' where v_payload ? 'source_image_url'
    union all
    select u.url, format('source_image_urls[%s]', u.n - 1)
    from jsonb_array_elements_text(coalesce(v_payload -> 'source_image_urls', '[]')) with ordinality u (url, n)
  ) s (url, field);

  v_id := process_jobs.new_generation_id();
  insert into process_jobs.requests (user_id, generation_id, idempotency_key, request_hash)
  values (v_user_id, v_id, v_key, v_hash);
  perform process_jobs.insert_job(
    'generate-image', v_payload || jsonb_build_object('generation_id', v_id, 'user_id', v_user_id), v_priority, null, v_begins_at, null, v_user_id,
    v_options ->> 'notify_url');
  return process_jobs.seen_generation(v_id);
end
$$;

revoke execute on function public.request_generation(text, text, jsonb) from public, anon, service_role;
grant execute on function public.request_generation(text, text, jsonb) to authenticated;

-- ── users/retry_generation.sql ──

-- retry_generation: gives the last job of a generation of the signed-in user a new life (retry_job); true: it is under way
-- again, false: it has not failed and was not cancelled, does not exist, or is somebody else's.
--
-- It counts as a request, and is refused as one (check_user_limits, check_budget), but for the priority, which it has
-- already; over the user's budget it is not parked.
create or replace function public.retry_generation(p_id text) returns boolean
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set jit = off
as $$
declare
  v_user_id text := process_jobs.signed_in_user();
  v_limits public.user_limits := process_jobs.limits_of(v_user_id);
  v_job record;
begin
  perform process_jobs.take_users_turn(v_user_id);
  select j.id, j.status, j.payload into v_job
  from public.job_queue j
  where j.payload ->> 'generation_id' = p_id and j.job_type in ('generate-image', 'download-image')
    and j.payload ->> 'user_id' = v_user_id
  order by j.created_at desc, j.id desc
  limit 1;
  if not found or v_job.status not in ('failed', 'cancelled') then
    return false;
  end if;
  perform process_jobs.check_user_limits(v_user_id, v_job.payload, null);
  perform process_jobs.check_budget(v_user_id, v_limits.max_cost_per_month, 'refuse');
  if not public.retry_job(v_job.id) then
    return false;
  end if;
  insert into process_jobs.requests (user_id, generation_id) values (v_user_id, p_id);
  return true;
end
$$;

revoke execute on function public.retry_generation(text) from public, anon, service_role;
grant execute on function public.retry_generation(text) to authenticated;

-- ── users/seen_generation.sql ──

-- seen_generation: a generation as its user may see it: the columns of its row that `authenticated` may read, and in any
-- case id and status; without a row, as where the app's own functions write it, the status is that of its last job.
create or replace function process_jobs.seen_generation(p_id text) returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set jit = off
as $$
declare
  v_table regclass := to_regclass('public.image_generations');
  v_row jsonb;
begin
  if process_jobs.column_type('public.image_generations', 'id') is not null then
    execute format('select to_jsonb(g) from public.image_generations g where g.id = %L::%s',
      p_id, process_jobs.column_type('public.image_generations', 'id'))
    into v_row;
  end if;
  return jsonb_build_object(
    'id', coalesce(v_row -> 'id', to_jsonb(p_id)),
    'status', coalesce(v_row -> 'status', (
      select to_jsonb(case j.status when 'pending' then 'queued' else j.status end)
      from public.job_queue j
      where j.payload ->> 'generation_id' = p_id and j.job_type in ('generate-image', 'download-image')
      order by j.created_at desc, j.id desc
      limit 1
    ))
  ) || coalesce((
    select jsonb_object_agg(c.key, c.value)
    from jsonb_each(v_row) c
    where has_column_privilege('authenticated', v_table, c.key, 'select')
  ), '{}');
end
$$;

-- ── users/signed_in_user.sql ──

-- signed_in_user: the user of the caller's token, as auth.uid() says it, but as text, and without the schema auth.
--
-- Refuses (PT403) a token without a user, or with one whose id cannot be in a payload.
create or replace function process_jobs.signed_in_user() returns text
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id text := nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub';
begin
  if (v_user_id ~ '^[A-Za-z0-9_-]{1,128}$') is not true then
    perform process_jobs.refuse('403', 'sign in first: the token names no user, or one whose id has other characters than A-Z a-z 0-9 _ -');
  end if;
  return v_user_id;
end
$$;

-- ── users/take_users_turn.sql ──

-- take_users_turn: takes the turn of a user's requests until the end of the transaction, before any lock of a row: of
-- twenty at once each sees what those before it have taken.
create or replace function process_jobs.take_users_turn(p_user_id text) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('process_jobs.requests: ' || p_user_id, 0));
end
$$;

-- ── operate/before_drain.sql ──

-- before_drain: the checks before a drain claims anything.
--
-- p_worker  {"version", "needs" (the oldest schema that it can use), "webhooks" (predictions report by webhook),
--           "bucket"}, kept for process_jobs_doctor
--
-- Refuses (55000), with a sentence, a worker too old for this schema or one that needs a newer schema. If the image
-- tables or the budget cannot be looked at, the drain goes on.
create or replace function process_jobs.before_drain(p_worker jsonb, p_job_types text[]) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if string_to_array(p_worker ->> 'version', '.')::int[] < string_to_array('0.1.0', '.')::int[] then
    raise exception 'this function is process-jobs %, and the database is %: supabase functions deploy process-jobs',
      p_worker ->> 'version', process_jobs.version() using errcode = '55000';
  end if;
  if string_to_array(p_worker ->> 'needs', '.')::int[] > string_to_array(process_jobs.version(), '.')::int[] then
    raise exception 'the database is %, and this function process-jobs %: apply its migration (supabase db push --remote)',
      process_jobs.version(), p_worker ->> 'version' using errcode = '55000';
  end if;
  if not exists (
    select from process_jobs.worker w
    where w.said = p_worker and w.job_types is not distinct from p_job_types and w.seen_at > now() - interval '30 seconds'
  ) then
    insert into process_jobs.worker as w (said, job_types) values (p_worker, p_job_types)
    on conflict (only_row) do update set said = excluded.said, job_types = excluded.job_types, seen_at = now();
  end if;
  begin
    perform process_jobs.look_at_image_tables();
    perform process_jobs.look_at_budget();
  exception
    when others then
      raise warning 'the image tables or the budget could not be looked at: %', sqlerrm;
  end;
end
$$;

-- ── operate/process_jobs_doctor.sql ──

-- process_jobs_doctor: checks the installation, one line per check: `advice` is null if all is well, else what to do.
--
-- Tries the image tables anew (rehearse_image_tables). The function's settings and its bucket's name, which only the
-- function knows, are those of its last drain.
create or replace function public.process_jobs_doctor() returns table (subject text, finding text, advice text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_worker process_jobs.worker;
  v_text text;
  v_texts text[];
  v_count bigint;
  v_is_ready boolean := public.seconds_until_next_job() is not distinct from 0;
  v_run_status text;
  v_run_message text;
  v_run_at timestamptz;
  v_visibility text;
begin
  select w.* into v_worker from process_jobs.worker w;

  return query
  select 'extension ' || e.name, coalesce(x.extversion, 'not installed'),
    case when x.extname is null then format('create extension %s, or have the function called by other means', e.name) end
  from unnest('{pg_cron,pg_net}'::text[]) e (name)
  left join pg_catalog.pg_extension x on x.extname = e.name
  where e.name <> 'pg_net' or to_regprocedure('net.http_post(text, jsonb, jsonb, jsonb, integer)') is null or x.extname is not null;

  select array_agg(format('%s may not', p.oid::regprocedure)) into v_texts
  from pg_catalog.pg_proc p
  where p.oid = any (process_jobs.public_functions()) and p.oid <> all (process_jobs.user_functions())
    and not has_function_privilege('service_role', p.oid, 'execute');
  return query select 'privileges of service_role', coalesce(array_to_string(v_texts, ', '), 'all functions'),
    case when v_texts is not null then 'run the migration again' end;
  select array_agg(format('%s may call %s', r.name, p.oid::regprocedure) order by r.name, p.proname) into v_texts
  from pg_catalog.pg_proc p cross join unnest('{anon,authenticated}'::text[]) r (name)
  where p.oid = any (process_jobs.public_functions()) and has_function_privilege(r.name, p.oid, 'execute')
    and not (p.oid = any (process_jobs.user_functions()) and r.name = 'authenticated');
  return query select 'privileges of users', coalesce(array_to_string(v_texts, ', '), 'none'),
    case when v_texts is not null then 'revoke execute on it, unless you have granted it yourself: a job may name any user, and costs money' end;

  -- An app's own queue keeps its privileges.
  return query
  select 'rows of job_queue', format('%s may read all of them', string_agg(r.name, ' and ' order by r.name)),
    'alter table public.job_queue enable row level security, with a policy for what users may see'
  from unnest('{anon,authenticated}'::text[]) r (name)
  where has_table_privilege(r.name, 'public.job_queue', 'select')
    and not (select c.relrowsecurity from pg_catalog.pg_class c where c.oid = 'public.job_queue'::regclass)
  having count(*) > 0;

  if to_regclass('cron.job') is null then
    v_text := null;
  else
    execute format($q$
      select j.schedule || case when j.active then '' else ', not active' end from %s j where j.jobname = 'process-jobs-worker'
    $q$, to_regclass('cron.job')) into v_text;
  end if;
  return query select 'schedule', coalesce(v_text, 'none'), case
    when v_text is null then 'select schedule_process_jobs(''https://<project>.supabase.co/functions/v1/process-jobs'', ''<secret key>''), unless you call it by other means'
    when v_text like '%not active' then 'select cron.alter_job(jobid, active => true) from cron.job where jobname = ''process-jobs-worker'''
  end;
  if v_text is not null then
    execute format($q$
      select d.status, d.return_message, d.start_time from %s d join %s j on j.jobid = d.jobid
      where j.jobname = 'process-jobs-worker' and d.status in ('succeeded', 'failed') order by d.runid desc limit 1
    $q$, to_regclass('cron.job_run_details'), to_regclass('cron.job')) into v_run_status, v_run_message, v_run_at;
    return query select 'last tick', coalesce(v_run_status || ' at ' || v_run_at, 'none yet'),
      case when v_run_status = 'failed' then v_run_message end;
  end if;
  return query
  select 'last ring', case
      when r.has_failed then 'failed at ' || f.ring_failed_at
      when s.is_called then 'at ' || r.rung_at
      else 'none yet'
    end,
    case when r.has_failed then f.ring_failure end
  from process_jobs.scheduled_function f
  cross join process_jobs.last_ring s
  cross join lateral (select to_timestamp(s.last_value / 1000.0) as rung_at, f.ring_failed_at >= to_timestamp(s.last_value / 1000.0) as has_failed) r;
  begin
    v_text := case when coalesce(process_jobs.read_secret(), '') = '' then 'none' else 'stored' end;
  exception
    when others then
      v_text := 'cannot be read: ' || sqlerrm;
  end;
  return query select 'key of the schedule', v_text,
    case when v_text <> 'stored' then 'select schedule_process_jobs(…, p_secret_key => ''<secret key>''), where it is to be scheduled' end;

  return query select 'function', case
      when v_worker.seen_at is null then 'has never drained the queue'
      else format('process-jobs %s, last seen %s ago', v_worker.said ->> 'version', date_trunc('second', now() - v_worker.seen_at))
    end,
    case
      when v_worker.seen_at is null or v_is_ready and v_worker.seen_at < now() - interval '5 minutes'
      then 'supabase functions deploy process-jobs; see its log, and the last tick'
    end;
  return query select 'versions', format('schema %s, function %s', process_jobs.version(), coalesce(v_worker.said ->> 'version', 'unknown')),
    case
      when string_to_array(v_worker.said ->> 'version', '.')::int[] < string_to_array(process_jobs.version(), '.')::int[]
      then 'supabase functions deploy process-jobs'
      when string_to_array(v_worker.said ->> 'version', '.')::int[] > string_to_array(process_jobs.version(), '.')::int[]
      then 'supabase db push --remote'
    end;
  return query select 'webhooks', case v_worker.said -> 'webhooks' when 'true' then 'on' when 'false' then 'off: predictions are polled' else 'unknown' end,
    case when v_worker.said -> 'webhooks' = 'false' then 'set REPLICATE_WEBHOOK_SECRET and PUBLIC_FUNCTION_URL' end;

  v_text := process_jobs.look_at_image_tables(true);
  return query select 'image tables', coalesce(v_text, case
      when (select t.tried from process_jobs.image_tables t) then 'take pictures'
      when (select count(*) = 2 from process_jobs.image_writers) then 'are written by the app'
      else 'cannot be tried: there is no user yet'
    end),
    case when v_text is not null then 'generate-image is paused until they do' end;
  return query
  select 'pictures of a generation', 'public.images has no index that begins with generation_id',
    'create index on public.images (generation_id)'
  where process_jobs.column_type('public.images', 'generation_id') is not null and not exists (
    select from pg_catalog.pg_index i
    join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    where i.indrelid = to_regclass('public.images') and a.attname = 'generation_id');

  if to_regclass('storage.buckets') is not null then
    v_text := coalesce(v_worker.said ->> 'bucket', 'generated-images');
    execute format(
      'select case when b.public then ''public'' else ''private'' end from %s b where b.id = $1', to_regclass('storage.buckets'))
    using v_text into v_visibility;
    return query select 'bucket ' || v_text, coalesce(v_visibility, 'not there'), case
      when v_visibility is null then 'make it in Storage, then resume_job_type(''generate-image'')'
      when v_visibility = 'private' then 'images.public_url leads nowhere while it is private: sign storage_path instead, or make it public'
    end;
  end if;

  return query
  select 'job type ' || t.job_type, 'paused: ' || t.paused_reason, format('mend that, then select resume_job_type(%L)', t.job_type)
  from public.job_types t where t.paused_at is not null order by t.job_type;
  return query
  select 'job type ' || j.job_type, format('%s jobs wait, and the function has no handler for it', count(*)),
    'add a handler, or cancel them'
  from public.job_queue j
  left join public.job_types t on t.job_type = j.job_type
  where j.status = 'pending' and v_worker.job_types is not null and coalesce(t.handler, j.job_type) <> all (v_worker.job_types)
  group by j.job_type order by j.job_type;
  return query
  select 'job type ' || j.job_type, format('%s jobs wait, and job_types has no row for it', count(*)),
    format('insert into job_types (job_type) values (%L)', j.job_type)
  from public.job_queue j
  where j.status = 'pending' and not exists (select from public.job_types t where t.job_type = j.job_type)
  group by j.job_type order by j.job_type;
  select count(*) into v_count
  from public.job_queue j where j.status = 'processing' and j.lease_expires_at < now() - interval '2 minutes';
  return query select 'stuck jobs', v_count::text, case when v_count > 0 then 'no drain has taken them back: see the function and the last tick' end;
  select count(*) into v_count from process_jobs.misplaced_jobs();
  return query select 'misplaced jobs', v_count::text, case
    when v_count > 0 then 'claims do not find them, for their rows were written without triggers: select process_jobs.rebuild_places()'
  end;
  if process_jobs.column_type('public.image_generations', 'status') is not null then
    execute $q$
      select count(*) from public.image_generations g
      where g.status::text in ('queued', 'processing', 'downloading') and not exists (
        select from public.job_queue j
        where j.payload ->> 'generation_id' = g.id::text and j.status in ('pending', 'processing')
          and j.job_type in ('generate-image', 'download-image'))
    $q$ into v_count;
    return query select 'generations without a job', v_count::text,
      case when v_count > 0 then 'they wait for nothing: enqueue them again, or set them to failed' end;
  end if;
  return query
  select 'job ' || t.job_id, t.kind || ': ' || t.message, 'mend that; it is tried again by itself'
  from process_jobs.job_troubles t where t.kind <> 'settle' order by t.since limit 10;
end
$$;

revoke execute on function public.process_jobs_doctor() from public, anon, authenticated;
grant execute on function public.process_jobs_doctor() to service_role;

-- ── operate/prune_jobs.sql ──

-- prune_jobs: deletes jobs that ended before a time; returns their number.
--
-- p_ended_before  completed, failed and cancelled jobs with an earlier completed_at; at least an hour ago, because
--                 a late webhook or a repeated settle may still refer to a job that has just ended
-- p_limit         1 to 1000000: the most jobs in one transaction; call again while it returns that many
--
-- Rows of generation_progress, requests and turns (places.sql) that are over go along. Unfinished jobs, generations and
-- images stay. A deleted job can be neither retried nor redriven. Jobs that another
-- transaction has locked are skipped. Reads the table from its beginning, without an index. Refuses (22023) arguments
-- out of these bounds.
create or replace function public.prune_jobs(
  p_ended_before timestamptz default now() - interval '30 days',
  p_limit int default 100000
) returns int
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
as $$
declare
  v_pruned int;
begin
  if p_ended_before is null or p_ended_before > now() - interval '1 hour' then
    raise exception 'p_ended_before must be at least an hour ago, not %', coalesce(p_ended_before::text, 'null')
      using errcode = '22023';
  end if;
  if p_limit is null or p_limit not between 1 and 1000000 then
    raise exception 'p_limit must be between 1 and 1000000, not %', coalesce(p_limit::text, 'null') using errcode = '22023';
  end if;

  delete from public.job_queue j
  where j.id = any (array(
    select ended.id
    from public.job_queue ended
    where ended.status in ('completed', 'failed', 'cancelled') and ended.completed_at < p_ended_before
    limit p_limit
    for update skip locked
  ));
  get diagnostics v_pruned = row_count;
  delete from public.generation_progress g
  where g.status in ('completed', 'failed', 'cancelled') and g.updated_at < p_ended_before;
  -- What users' limits and keys need no more.
  delete from process_jobs.requests r
  where r.n = any (array(
    select old.n
    from process_jobs.requests old
    where old.created_at < least(p_ended_before, now() - interval '1 day')
      and not exists (
        select from public.job_queue j
        where j.payload ->> 'generation_id' = old.generation_id and j.job_type in ('generate-image', 'download-image'))
    limit p_limit
    for update skip locked
  ));
  delete from process_jobs.turns t
  where t.ctid = any (array(
    select behind.ctid
    from (
      select t.job_type, t.priority, coalesce(
          (
            select min(r.rank) & 2147483647 from process_jobs.ready_jobs r
            where r.job_type = t.job_type and r.lane = 0
              and r.rank > -t.priority::bigint << 31 and r.rank < (1 - t.priority::bigint) << 31
          ),
          max(t.turn)) as turn
      from process_jobs.turns t
      group by t.job_type, t.priority
    ) line
    join process_jobs.turns behind
      on behind.job_type = line.job_type and behind.priority = line.priority and behind.turn < line.turn
    limit p_limit
    for update of behind skip locked
  ));
  return v_pruned;
end
$$;

revoke execute on function public.prune_jobs(timestamptz, int) from public, anon, authenticated;
grant execute on function public.prune_jobs(timestamptz, int) to service_role;

-- ── operate/queue_metrics.sql ──

-- queue_metrics: the queue in Prometheus' text format, by job type; for the route /metrics.
--
--   process_jobs_jobs{job_type, state}           jobs: ready, scheduled and stuck as in queue_stats, processing without
--                                                the stuck ones, failed until they are redriven or pruned
--   process_jobs_oldest_ready_seconds{job_type}  how long the longest waiting ready job has been due; 0: none is ready
--   process_jobs_paused{job_type}                1: no job of the type begins until resume_job_type
--   process_jobs_held_seconds{job_type}          the rest of the type's hold for a rate limit: the longer of the hold
--                                                of jobs that have begun and the hold of the others
--
-- Types without a row in job_types are left out. Counts the unfinished and the failed jobs one by one.
create or replace function public.queue_metrics() returns text
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  with job as (
    select j.job_type, e.lane, j.scheduled_at, null::text as state
    from (
      select r.id, r.lane from process_jobs.ready_jobs r union all select w.id, w.lane from process_jobs.waiting_jobs w
    ) e
    join public.job_queue j on j.id = e.id
    union all
    select j.job_type, null, null, case when j.lease_expires_at <= now() then 'stuck' else 'processing' end
    from process_jobs.jobs_at_work j
    union all
    select f.job_type, null, null, 'failed' from process_jobs.failed_jobs f
  ), counted as (
    select t.job_type,
      case
        when job.state is not null then job.state
        when job.scheduled_at > now() then 'scheduled'
        when l.is_open then 'ready'
        else 'scheduled'
      end as state,
      count(*) as jobs, extract(epoch from now() - min(job.scheduled_at)) as oldest_seconds
    from job
    join public.job_types t on t.job_type = job.job_type
    left join process_jobs.lanes l on l.job_type = job.job_type and l.lane = job.lane
    group by 1, 2
  ), metric (n, name, help, job_type, state, value) as (
    select 1, 'process_jobs_jobs', 'Jobs that have not ended, and failed ones.', t.job_type, s.state, coalesce(c.jobs, 0)
    from public.job_types t
    cross join unnest(array['ready', 'scheduled', 'processing', 'stuck', 'failed']) s (state)
    left join counted c on c.job_type = t.job_type and c.state = s.state
    union all
    select 2, 'process_jobs_oldest_ready_seconds', 'How long the longest waiting ready job has been due.',
      t.job_type, null, coalesce(c.oldest_seconds, 0)
    from public.job_types t
    left join counted c on c.job_type = t.job_type and c.state = 'ready'
    union all
    select 3, 'process_jobs_paused', '1: no job of the type begins until resume_job_type.',
      t.job_type, null, (t.paused_at is not null)::int
    from public.job_types t
    union all
    select 4, 'process_jobs_held_seconds', 'How long all jobs of the type still wait for a rate limit.',
      t.job_type, null, coalesce(greatest(0, extract(epoch from greatest(t.held_until, t.begun_held_until) - now())), 0)
    from public.job_types t
  ), family as (
    select m.n,
      format(E'# HELP %1$s %2$s\n# TYPE %1$s gauge\n', m.name, m.help)
      || string_agg(
        format(E'%s{job_type="%s"%s} %s\n', m.name,
          replace(replace(replace(m.job_type, '\', '\\'), '"', '\"'), E'\n', '\n'),
          ',state="' || m.state || '"', trim_scale(m.value)),
        '' order by m.job_type, m.state) as text
    from metric m
    group by m.n, m.name, m.help
  )
  select coalesce(string_agg(f.text, '' order by f.n), '') from family f
$$;

revoke execute on function public.queue_metrics() from public, anon, authenticated;
grant execute on function public.queue_metrics() to service_role;

-- ── operate/queue_stats.sql ──

-- queue_stats: the queue's numbers as one json object:
--   ready                 pending jobs that are due and neither held nor paused; some may still lack a start
--   scheduled             the other pending jobs: parked, retrying, delayed, held or paused
--   processing            jobs under a lease
--   stuck                 jobs in processing whose lease has expired and that no claim has taken back
--   oldest_ready_seconds  the time since the longest waiting ready job fell due; null: none is ready
--   paused                [{job_type, reason, since}]
--   version               the schema's
--   troubles              [{job_id, kind, message, since}] of job_troubles, the ten oldest; absent if there are none
-- Counts the unfinished jobs one by one: for people and monitors, not for the claim loop.
create or replace function public.queue_stats() returns jsonb
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  with pending as (
    select count(*) as jobs, count(*) filter (where p.is_ready) as ready, min(p.due_at) filter (where p.is_ready) as oldest
    from (
      select j.scheduled_at as due_at, l.is_open is true and j.scheduled_at <= now() as is_ready
      from (
        select r.id, r.job_type, r.lane from process_jobs.ready_jobs r
        union all
        select w.id, w.job_type, w.lane from process_jobs.waiting_jobs w
      ) e
      join public.job_queue j on j.id = e.id
      left join process_jobs.lanes l on l.job_type = e.job_type and l.lane = e.lane
    ) p
  ), processing as (
    select count(*) as jobs, count(*) filter (where j.lease_expires_at <= now()) as stuck
    from process_jobs.jobs_at_work j
  ), paused as (
    select jsonb_agg(
        jsonb_build_object('job_type', t.job_type, 'reason', t.paused_reason, 'since', t.paused_at) order by t.job_type
      ) as types
    from public.job_types t
    where t.paused_at is not null
  ), troubles as (
    select jsonb_agg(
        jsonb_build_object('job_id', t.job_id, 'kind', t.kind, 'message', t.message, 'since', t.since)
        order by t.since, t.job_id) as jobs
    from (select * from process_jobs.job_troubles order by since, job_id limit 10) t
  )
  select jsonb_build_object(
    'ready', pending.ready,
    'scheduled', pending.jobs - pending.ready,
    'processing', processing.jobs,
    'stuck', processing.stuck,
    'oldest_ready_seconds', extract(epoch from now() - pending.oldest),
    'paused', coalesce(paused.types, '[]'),
    'version', process_jobs.version()
  ) || case when troubles.jobs is null then '{}' else jsonb_build_object('troubles', troubles.jobs) end
  from pending, processing, paused, troubles
$$;

revoke execute on function public.queue_stats() from public, anon, authenticated;
grant execute on function public.queue_stats() to service_role;

-- ── operate/redrive_failed_jobs.sql ──

-- redrive_failed_jobs: calls retry_job for failed jobs, the longest failed first; returns how many it retried.
--
-- p_job_type      null: every type
-- p_failed_after  only jobs that failed later; null: all
-- p_limit         the most jobs, 1 to 10000
-- p_attempts      as for retry_job
--
-- A job whose unique_key an unfinished job has stays failed and is not counted. So does one whose retry the database
-- refuses, for example by a trigger of the app; a warning gives the reason. Refuses (22023) arguments out of these bounds.
create or replace function public.redrive_failed_jobs(
  p_job_type text default null,
  p_failed_after timestamptz default null,
  p_limit int default 1000,
  p_attempts int default 3
) returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job_id uuid;
  v_redriven int := 0;
begin
  if p_limit is null or p_limit not between 1 and 10000 then
    raise exception 'p_limit must be between 1 and 10000, not %', coalesce(p_limit::text, 'null') using errcode = '22023';
  end if;
  if p_attempts is null or p_attempts not between 1 and 100 then
    raise exception 'p_attempts must be between 1 and 100, not %', coalesce(p_attempts::text, 'null') using errcode = '22023';
  end if;

  for v_job_id in
    select f.id
    from process_jobs.failed_jobs f
    where (p_job_type is null or f.job_type = p_job_type collate "C")
      and (p_failed_after is null or f.failed_at > p_failed_after)
    order by f.failed_at
  loop
    exit when v_redriven = p_limit;
    begin
      v_redriven := v_redriven + public.retry_job(v_job_id, p_attempts)::int;
    exception
      when unique_violation then
        null;
      when others then
        if process_jobs.is_server_state(sqlstate) then
          raise;
        end if;
        raise warning 'job % stays failed: %', v_job_id, sqlerrm;
    end;
  end loop;
  return v_redriven;
end
$$;

revoke execute on function public.redrive_failed_jobs(text, timestamptz, int, int) from public, anon, authenticated;
grant execute on function public.redrive_failed_jobs(text, timestamptz, int, int) to service_role;

-- ── operate/rehearse_queue.sql ──

-- rehearse_queue: writes like the worker with jobs of each image type, each to another end, and like prune_jobs, in a
-- job_queue that was an app's before, and undoes it. Returns why that fails, or null if it works.
create or replace function process_jobs.rehearse_queue() returns text
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
as $$
declare
  v_job_id uuid;
  v_step record;
  v_count bigint;
begin
  for v_step in
    select t.job_type, s.status
    from (values ('generate-image'), ('download-image')) t (job_type)
    cross join (values (1, 'completed'), (2, 'failed'), (3, 'cancelled')) e (n, ended)
    cross join lateral (values (1, 'enqueued'), (2, 'processing'), (3, 'pending'), (4, 'processing'), (5, e.ended), (6, 'deleted')) s (n, status)
    order by t.job_type, e.n, s.n
  loop
    if v_step.status = 'enqueued' then
      v_job_id := public.enqueue_job(v_step.job_type, '{}');
    elsif v_step.status = 'deleted' then
      delete from public.job_queue j where j.id = v_job_id;
    else
      execute format(
        'update public.job_queue set status = %L, attempt_number = attempt_number + 1, max_attempts = 9, updated_at = now(),
          lease_token = %s, lease_expires_at = now(), checkpoint = $1, progress = 1, errors = $2 where id = $3',
        v_step.status, case when v_step.status = 'processing' then 'gen_random_uuid()' else 'null' end)
      using '{"a": 1}'::jsonb, '[{"a": 1}]'::jsonb, v_job_id;
      get diagnostics v_count = row_count;
      if v_count = 0 then
        raise exception 'a trigger lets its row be as it is';
      end if;
    end if;
    set constraints all immediate;
  end loop;
  raise exception using errcode = 'PJ000';
exception
  when sqlstate 'PJ000' then
    return null;
  when others then
    if process_jobs.is_server_state(sqlstate) then
      raise;
    end if;
    return format('public.job_queue refuses a job %s of type %s: %s', v_step.status, v_step.job_type, sqlerrm);
end
$$;

-- ── operate/uninstall.sql ──

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

-- ── moved_in.sql ──

-- New objects belong to service_role alone, or to the app's users, whatever the default grants are; the app's earlier grants stay.
do $$
declare
  v_grant record;
begin
  for v_grant in
    select format('revoke all on function %s from %s', n.oid::regprocedure, n.role) as statement
    from (
      select distinct p.oid, case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as role
      from pg_catalog.pg_proc p, aclexplode(p.proacl) a
      where p.oid = any (process_jobs.public_functions()) and a.grantee <> p.proowner
        and pg_get_userbyid(a.grantee) <> 'service_role'
        and not exists (select from process_jobs_granted g where g.oid = p.oid)
        and not (p.oid = any (process_jobs.user_functions()) and pg_get_userbyid(a.grantee) = 'authenticated')
    ) n
    union all
    select format('grant %s on %s %s to %s', a.privilege_type, g.kind,
      case g.kind when 'function' then g.oid::regprocedure::text else g.oid::regclass::text end,
      case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end)
    from process_jobs_granted g, aclexplode(g.acl) a
    where g.oid = any (process_jobs.public_functions()) or g.kind = 'table'
  loop
    execute v_grant.statement;
  end loop;
end
$$;

-- The messages and trials once everything is installed.
do $$
declare
  v_refusal text;
begin
  if current_setting('process_jobs.places', true) = 'to be filled' then
    perform process_jobs.rebuild_places();
    perform set_config('process_jobs.places', '', true);
  end if;
  if not exists (select from process_jobs.releases) then
    -- Jobs of a type without a handler wait, and more of them may be enqueued, as before.
    insert into public.job_types (job_type)
    select distinct j.job_type from public.job_queue j
    on conflict (job_type) do nothing;
    if obj_description('public.job_queue'::regclass, 'pg_class') is distinct from 'made by process-jobs' then
      v_refusal := process_jobs.rehearse_queue();
      if v_refusal is not null then
        raise exception E'process-jobs cannot move in:\n- %', v_refusal using errcode = '55000';
      end if;
    end if;
  end if;

  perform process_jobs.follow_image_generations();
  v_refusal := process_jobs.look_at_image_tables(true);
  if v_refusal is not null then
    raise warning 'generate-image is paused: %', v_refusal;
  end if;
end
$$;

-- ── done ──

insert into process_jobs.releases (version) values ('0.1.0') on conflict (version) do nothing;

-- Tells PostgREST that there are new tables and functions.
notify pgrst, 'reload schema';
