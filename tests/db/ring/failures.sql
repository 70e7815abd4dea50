-- A ring that fails takes nothing from the job, and the doctor tells of it.
begin;
select plan(13);
insert into job_types (job_type) values ('work');
insert into process_jobs.scheduled_function values (true, 'https://project.example/f', 5000);
set local client_min_messages = warning;
create function pg_temp.failure() returns text language plpgsql as $$
begin
  update process_jobs.scheduled_function set ring_failed_at = null, ring_failure = null;
  perform setval('process_jobs.last_ring', 1), set_config('process_jobs.ring', '', true);
  perform enqueue_job('work', '{}');
  set constraints all immediate;
  set constraints all deferred;
  return (select f.ring_failure from process_jobs.scheduled_function f where f.ring_failed_at > now());
end
$$;

select is(pg_temp.failure(), 'no key is stored, so the function was not called: call schedule_process_jobs with p_secret_key', 'without a key');
select is((select advice from process_jobs_doctor() where subject = 'last ring'),
  'no key is stored, so the function was not called: call schedule_process_jobs with p_secret_key', 'the doctor says why');
select ok((select r.last_value > 1 from process_jobs.last_ring r), 'and for a moment nobody else tries');
select process_jobs.store_secret('the secret key');
select is(pg_temp.failure(), null, 'with a key it rings');
select is((select advice from process_jobs_doctor() where subject = 'last ring'), null, 'and nobody is advised');

select pg_temp.failure() from generate_series(1, 19);
select is((select count(*) from net.http_request_queue), 20::bigint, 'of what pg_net does not send');
select is(pg_temp.failure(), 'pg_net does not send, so the function was not called: 20 calls wait in net.http_request_queue (select net.worker_restart())', 'twenty are enough');
select throws_ok($$select process_jobs.tick('https://project.example/f', 5000)$$, '55000',
  'pg_net does not send, so the function was not called: 20 calls wait in net.http_request_queue (select net.worker_restart())', 'for a tick too');
delete from net.http_request_queue;

savepoint s;
alter table net.http_request_queue add check (url <> 'https://project.example/f');
select matches(pg_temp.failure(), 'violates check constraint', 'pg_net that takes nothing');
rollback to s;
alter table net.http_request_queue rename to another;
select matches(pg_temp.failure(), 'does not exist', 'pg_net without its table');
rollback to s;
drop function net.http_post(text, jsonb, jsonb, jsonb, integer);
select is(pg_temp.failure(), 'pg_net is not installed, so the function was not called: create extension pg_net', 'no pg_net');
rollback to s;
drop schema net cascade;
select is(pg_temp.failure(), 'pg_net is not installed, so the function was not called: create extension pg_net', 'nothing of it at all');
select is((select count(*) from job_queue where status = 'pending'), (select count(*) from process_jobs.ready_jobs), 'each job is there');
select * from finish();
rollback;
