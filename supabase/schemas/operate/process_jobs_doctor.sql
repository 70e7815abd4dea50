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
