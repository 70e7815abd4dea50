-- A tick that can call nobody fails, so that the cron job's runs show it, and what to do.
begin;
select plan(12);
set local client_min_messages = warning;
insert into job_types (job_type) values ('work');
\set post 'select process_jobs.tick(''https://project.example/functions/v1/process-jobs'', 5000)'
select lives_ok(:'post', 'nothing to do is nothing to fail at');
select enqueue_job('work', '{}');
select throws_ok(:'post', '55000', 'no key is stored, so the function was not called: call schedule_process_jobs with p_secret_key', 'without a key');
insert into process_jobs.secret (secret_key) values ('');
select throws_ok(:'post', '55000', 'no key is stored, so the function was not called: call schedule_process_jobs with p_secret_key', 'an empty one is none');
select process_jobs.store_secret('the secret key');
select throws_ok(format('select process_jobs.tick(%L, %L)', c.url, c.timeout), '55000',
  'there is no address or no time-out, so the function was not called: call schedule_process_jobs again', format('url %L, time-out %L', c.url, c.timeout))
from (values ('', 5000), (null, 5000), ('project.example', 5000), ('https://project.example/f', null)) c (url, timeout);

savepoint before_vault;
create schema vault;
create view vault.decrypted_secrets as select null::uuid as id, 'process_jobs_secret_key'::text as name, null::text as decrypted_secret;
select lives_ok(:'post', 'one that was stored before Vault was there is found');
delete from process_jobs.secret;
select throws_ok(:'post', '55000', 'no key is stored, so the function was not called: call schedule_process_jobs with p_secret_key', 'one that Vault does not decrypt is none');
create or replace view vault.decrypted_secrets as select null::uuid as id, 'process_jobs_secret_key'::text as name, (1 / (random() * 0)::int)::text as decrypted_secret;
select throws_ok(:'post', '55000', 'the key cannot be read, so the function was not called: division by zero (call schedule_process_jobs with p_secret_key)', 'so is one that cannot be read');
rollback to before_vault;

drop function net.http_post(text, jsonb, jsonb, jsonb, integer);
select throws_ok(:'post', '55000', 'pg_net is not installed, so the function was not called: create extension pg_net', 'without pg_net');
select is((select count(*) from net.http_request_queue), 0::bigint, 'nobody was called without a key');
select * from finish();
rollback;
