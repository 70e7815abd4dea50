-- A tick that can call nobody fails, so that the cron job's runs show it.
begin;
select plan(3);
insert into job_types (job_type) values ('work');
select lives_ok($$select post_process_jobs('https://project.example/functions/v1/process-jobs', 5000)$$, 'nothing to do is nothing to fail at');
select enqueue_job('work', '{}');
select throws_ok($$select post_process_jobs('https://project.example/functions/v1/process-jobs', 5000)$$, '55000',
  'no key is stored, so the function was not called: call schedule_process_jobs with p_secret_key', 'without a key');
select store_process_jobs_secret('the secret key');
drop function net.http_post(text, jsonb, jsonb, jsonb, integer);
select throws_ok($$select post_process_jobs('https://project.example/functions/v1/process-jobs', 5000)$$, '55000',
  'pg_net is not installed, so the function was not called: create extension pg_net', 'without pg_net');
select * from finish();
rollback;
