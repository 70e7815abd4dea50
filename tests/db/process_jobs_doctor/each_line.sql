-- Each line, as it is where all is well and where it is not.
begin;
select plan(47);
set local client_min_messages = error;
create function pg_temp.finding(p_subject text) returns text language sql as
$$ select string_agg(d.finding, ' | ') from process_jobs_doctor() d where d.subject = p_subject $$;
create function pg_temp.advice(p_subject text) returns text language sql as
$$ select string_agg(d.advice, ' | ') from process_jobs_doctor() d where d.subject = p_subject $$;
create schema storage;
create table storage.buckets (id text primary key, name text, public boolean);
insert into storage.buckets values ('generated-images', 'generated-images', true);

-- Before anything is set up.
select is(pg_temp.finding('function'), 'has never drained the queue', 'a function that was never there');
select matches(pg_temp.advice('function'), '^supabase functions deploy process-jobs', 'is to be deployed');
select is(pg_temp.finding('schedule'), 'none', 'no schedule');
select matches(pg_temp.advice('schedule'), '^select schedule_process_jobs', 'is to be made');
select is(pg_temp.advice('key of the schedule') is not null, true, 'nor a key');
select is(pg_temp.finding('webhooks'), 'unknown', 'webhooks are the function''s to tell');

-- All is well.
select schedule_process_jobs('https://project.example/functions/v1/process-jobs', 'the secret key') as cron_job_id \gset
insert into cron.job_run_details (jobid, runid, job_pid, database, username, command, status, return_message, start_time)
values (:cron_job_id, 1000000, 1, current_database(), current_user, 'x', 'succeeded', '1 row', now());
select version from process_jobs.releases order by string_to_array(version, '.')::int[] desc limit 1 \gset
select from claim_next_job(p_job_types => '{generate-image,download-image}',
  p_worker => jsonb_build_object('version', :'version', 'webhooks', true, 'bucket', 'generated-images'));
select is_empty('select * from process_jobs_doctor() where advice is not null', 'all is well: nobody is advised');
select set_eq('select subject from process_jobs_doctor()', array['extension pg_cron', 'privileges of service_role', 'privileges of users',
  'schedule', 'last tick', 'last ring', 'key of the schedule', 'function', 'versions', 'webhooks', 'image tables', 'bucket generated-images',
  'stuck jobs', 'misplaced jobs', 'generations without a job'], 'what is looked at');

-- What is not.
insert into cron.job_run_details (jobid, runid, job_pid, database, username, command, status, return_message, start_time)
values (:cron_job_id, 1000001, 1, current_database(), current_user, 'x', 'failed', 'ERROR: no key', now());
select is(pg_temp.advice('last tick'), 'ERROR: no key', 'a tick that failed says why');
update process_jobs.scheduled_function set ring_failed_at = clock_timestamp(), ring_failure = 'no pg_net';
select is(pg_temp.advice('last ring'), 'no pg_net', 'so does a ring');
select setval('process_jobs.last_ring', (extract(epoch from clock_timestamp()) * 1000)::bigint + 1);
select is(pg_temp.advice('last ring'), null, 'until one does not fail');
update cron.job set active = false where jobid = :cron_job_id;
select matches(pg_temp.advice('schedule'), 'cron.alter_job', 'a schedule that is not active');
delete from process_jobs.secret;
select is(pg_temp.finding('key of the schedule'), 'none', 'a key that is gone');
revoke execute on function queue_stats() from service_role;
select is(pg_temp.finding('privileges of service_role'), 'public.queue_stats() may not', 'what service_role lacks');
select is(pg_temp.advice('privileges of service_role'), 'run the migration again', 'comes with the migration');
grant execute on function retry_job(uuid, int) to authenticated;
select is(pg_temp.finding('privileges of users'), 'authenticated may call public.retry_job(uuid,integer)', 'what users may');
select matches(pg_temp.advice('privileges of users'), '^revoke execute', 'and should not');
grant select on job_queue to anon, authenticated;
select is(pg_temp.finding('rows of job_queue'), null, 'row level security hides jobs from users');
alter table job_queue disable row level security;
select is(pg_temp.finding('rows of job_queue'), 'anon and authenticated may read all of them', 'without it they see what others ask for');
select matches(pg_temp.advice('rows of job_queue'), 'enable row level security', 'and it can be enabled');
update process_jobs.worker set said = said || '{"webhooks": false}';
select matches(pg_temp.advice('webhooks'), 'REPLICATE_WEBHOOK_SECRET', 'webhooks that are off');
update process_jobs.worker set said = said || '{"version": "0.0.9"}';
select is(pg_temp.advice('versions'), 'supabase functions deploy process-jobs', 'a function that is older');
update process_jobs.worker set said = said || '{"version": "99.0.0"}';
select is(pg_temp.advice('versions'), 'supabase db push --remote', 'one that is newer');
update process_jobs.worker set said = said || jsonb_build_object('version', :'version'), seen_at = now() - interval '1 hour';
select is(pg_temp.advice('function'), null, 'a function without work need not have been there');
insert into job_queue (job_type) values ('generate-image');
select matches(pg_temp.finding('function'), '^process-jobs [0-9.]+, last seen 01:00:00 ago$', 'with work it must');
select matches(pg_temp.advice('function'), 'deploy', 'and was not');

update storage.buckets set public = false;
select is(pg_temp.finding('bucket generated-images'), 'private', 'a private bucket');
select matches(pg_temp.advice('bucket generated-images'), 'sign storage_path', 'has no public addresses');
delete from storage.buckets;
select is(pg_temp.finding('bucket generated-images'), 'not there', 'a bucket that is not there');
update process_jobs.worker set said = said || '{"bucket": "another"}';
select is(pg_temp.finding('bucket another'), 'not there', 'is the function''s');

drop index images_generation_id_filename_idx;
select is(pg_temp.advice('pictures of a generation'), 'create index on public.images (generation_id)', 'pictures without an index');
alter table images add column title text not null;
select matches(pg_temp.finding('image tables'), 'null value in column "title"', 'tables that take no picture');
select matches(pg_temp.finding('job type generate-image'), '^paused: the image tables take no picture', 'and the pause that they make');
select matches(pg_temp.advice('job type generate-image'), 'resume_job_type', 'with its end');
alter table images drop column title;
select is(pg_temp.advice('image tables'), null, 'mended');
select is(pg_temp.finding('job type generate-image'), null, 'and resumed');
insert into process_jobs.image_writers values ('generation', 'app.a'), ('images', 'app.b');
select is(pg_temp.finding('image tables'), 'are written by the app', 'functions of the app''s own');
delete from process_jobs.image_writers;

insert into job_types (job_type) values ('send-mail');
insert into job_queue (job_type) values ('send-mail'), ('send-mail'), ('odd');
select is(pg_temp.finding('job type send-mail'), '2 jobs wait, and the function has no handler for it', 'jobs without a handler');
select is(pg_temp.finding('job type odd'), '1 jobs wait, and the function has no handler for it | 1 jobs wait, and job_types has no row for it', 'and without a row');
insert into job_queue (job_type, status, attempt_number, lease_token, lease_expires_at) values ('send-mail', 'processing', 1, gen_random_uuid(), now() - interval '1 hour');
select is(pg_temp.finding('stuck jobs'), '1', 'a job that nobody has taken back');
select matches(pg_temp.advice('stuck jobs'), 'no drain', 'though somebody should have');
set local session_replication_role = replica;
insert into job_queue (job_type) values ('send-mail');
set local session_replication_role = origin;
select is(pg_temp.finding('misplaced jobs'), '1', 'a job that no claim finds');
select matches(pg_temp.advice('misplaced jobs'), 'rebuild_places', 'is given its place');
insert into image_generations (id, user_id, status) values ('g', 'u', 'processing');
select is(pg_temp.finding('generations without a job'), '1', 'a generation that waits for nothing');
select process_jobs.note_job_trouble('00000000-0000-4000-8000-000000000000', 'claim', 'it cannot be claimed: no');
select is(pg_temp.finding('job 00000000-0000-4000-8000-000000000000'), 'claim: it cannot be claimed: no', 'a job''s trouble');
drop extension pg_cron;
select is(pg_temp.finding('extension pg_cron'), 'not installed', 'pg_cron that is missing');
select matches(pg_temp.advice('extension pg_cron'), '^create extension pg_cron', 'is to be made');
select * from finish();
rollback;
