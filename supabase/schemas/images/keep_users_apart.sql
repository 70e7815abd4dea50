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
