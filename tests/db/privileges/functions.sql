begin;
select plan(6);
create temp view ours as
  select p.oid, p.proname::text as name, p.pronamespace::regnamespace::text as schema
  from pg_proc p
  where p.pronamespace in ('public'::regnamespace, 'process_jobs'::regnamespace)
    and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e');

select is_empty(
  $$select name from ours where schema = 'public' and (has_function_privilege('anon', oid, 'execute')
    or has_function_privilege('authenticated', oid, 'execute') and name not in ('cancel_generation', 'get_generation', 'my_limits', 'request_generation', 'retry_generation'))$$,
  'anon executes no function of ours, and authenticated none but those of the app''s users');
select is_empty(
  $$select o.name from ours o join pg_proc p using (oid), aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a where schema = 'public' and a.grantee = 0$$,
  'nor public');
select set_eq(
  $$select name from ours where schema = 'public' and has_function_privilege('service_role', oid, 'execute')$$,
  array['enqueue_job', 'enqueue_jobs', 'claim_next_job', 'complete_job', 'snooze_job', 'heartbeat_job', 'seconds_until_next_job',
    'pause_job_type', 'resume_job_type', 'queue_stats', 'keep_model_schema', 'cancel_job', 'change_priority', 'wake_job', 'retry_job', 'redrive_failed_jobs', 'exchange_jobs',
    'process_jobs_doctor', 'prune_jobs', 'queue_metrics', 'report_progress', 'schedule_process_jobs', 'unschedule_process_jobs'],
  'service_role executes the interface and none of its inner parts');
select set_eq(
  $$select name from ours where schema = 'public' and has_function_privilege('authenticated', oid, 'execute')$$,
  $$select p.proname::text from pg_proc p where p.oid = any (process_jobs.user_functions())$$,
  'the app''s users execute theirs');
select is_empty(
  $$select o.name from ours o join pg_proc p using (oid) where p.prosqlbody is null and (not p.prosecdef and o.name <> 'keep_users_apart' or p.proconfig is null or not proconfig && '{"search_path=pg_catalog, pg_temp","search_path=pg_catalog, public, extensions, pg_temp"}')$$,
  'all but the one that asks who writes, and an expression, are security definer, and look for names, types too, in pg_catalog before pg_temp');

-- As a hosted project would: every new function granted to the API's roles.
alter default privileges in schema public grant execute on functions to anon, authenticated;
drop function queue_stats();
\ir ../../../supabase/schemas/operate/queue_stats.sql
select is(has_function_privilege('anon', 'public.queue_stats()', 'execute'), false, 'a default grant to anon is taken back');

select * from finish();
rollback;
