-- keep_users_apart: trigger on job_queue; where an app lets users write jobs, whoever does so asks for pictures of his own
-- only: what follows the job (apply_image_job) is written past the policies of the image tables.
--
-- It runs as who writes: functions of the app's own, and ours, ask for whom they like. Refuses (42501).
create or replace function process_jobs.keep_users_apart() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if current_user in ('anon', 'authenticated') and new.payload ->> 'user_id' is distinct from
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
  then
    raise exception 'payload: user_id must be your own' using errcode = '42501';
  end if;
  return new;
end
$$;

create or replace trigger process_jobs_keep_users_apart
  before insert or update of job_type, payload on public.job_queue
  for each row
  when (new.job_type in ('generate-image', 'download-image'))
  execute function process_jobs.keep_users_apart();
