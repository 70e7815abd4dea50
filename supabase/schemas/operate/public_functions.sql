-- public_functions: the functions of the interface, as they are in the schema public.
create or replace function process_jobs.public_functions() returns oid[]
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select array_agg(p.oid)
  from pg_catalog.pg_proc p
  where p.pronamespace = 'public'::regnamespace and p.proname = any ('{
    claim_next_job,complete_job,enqueue_job,cancel_job,exchange_jobs,heartbeat_job,keep_model_schema,pause_job_type,
    process_jobs_doctor,prune_jobs,queue_metrics,queue_stats,redrive_failed_jobs,resume_job_type,retry_job,
    schedule_process_jobs,seconds_until_next_job,snooze_job,unschedule_process_jobs,wake_job}')
$$;
