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
