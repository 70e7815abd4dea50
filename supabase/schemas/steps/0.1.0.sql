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
