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
