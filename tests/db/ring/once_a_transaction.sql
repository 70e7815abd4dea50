-- What rings, and how often. A commit is `set constraints`; what a transaction has set is taken back by hand.
begin;
select plan(37);
insert into job_types (job_type) values ('work'), ('play');
insert into process_jobs.scheduled_function values (true, 'https://project.example/functions/v1/process-jobs', 4000);
set local client_min_messages = warning;
select process_jobs.store_secret('the secret key');
create function pg_temp.commit() returns bigint language plpgsql as $$
declare
  v_calls bigint;
begin
  set constraints all immediate;
  set constraints all deferred;
  perform set_config('process_jobs.ring', '', true);
  delete from net.http_request_queue;
  get diagnostics v_calls = row_count;
  return v_calls;
end
$$;
create function pg_temp.calls(p_sql text) returns bigint language plpgsql as $$
begin
  perform setval('process_jobs.last_ring', 1), set_config('process_jobs.ring', '', true);
  execute p_sql;
  return pg_temp.commit();
end
$$;

select setval('process_jobs.last_ring', 1);
select enqueue_job('work', '{}');
select is((select count(*) from net.http_request_queue), 0::bigint, 'nobody is called before the commit');
set constraints all immediate;
select results_eq(
  'select method, url, headers, body, timeout_milliseconds from net.http_request_queue',
  $$values ('POST', 'https://project.example/functions/v1/process-jobs',
    '{"apikey": "the secret key", "Content-Type": "application/json", "Prefer": "respond-async"}'::jsonb, '{}', 4000)$$,
  'the commit calls the function as a tick does');
select is(pg_temp.commit(), 1::bigint, 'once');
select is(pg_temp.commit(), 0::bigint, 'a transaction without a job calls nobody');

select is(pg_temp.calls(sql), calls::bigint, what)
from (values
  ($$insert into job_queue (job_type) select 'work' from generate_series(1, 1000)$$, 1, 'a thousand jobs, one call'),
  ($$select enqueue_job('work', '{}') from generate_series(1, 1000)$$, 1, 'in a thousand statements as well'),
  ($$select enqueue_jobs('[{"job_type": "work", "payload": {}}, {"job_type": "play", "payload": {}}]')$$, 1, 'two of enqueue_jobs, one call'),
  ($$select enqueue_job('work', '{}', p_scheduled_at => now() + interval '1 minute')$$, 0, 'a job for later calls nobody'),
  ($$insert into job_queue (job_type, status) values ('work', 'completed')$$, 0, 'nor one that has ended'),
  ($$insert into job_queue (job_type) select 'work' where false$$, 0, 'nor an insert of nothing'),
  ($$select enqueue_job('work', '{}', p_scheduled_at => now() + interval '1 minute'), enqueue_job('work', '{}')$$, 1, 'of two kinds, one is due'),
  ($$update job_queue set scheduled_at = now() where scheduled_at > now()$$, 1, 'jobs made due by hand are'),
  ($$update job_queue set payload = '{"a": 1}'$$, 0, 'a change of what they are about is none'),
  ($$insert into job_queue (job_type, unique_key, status, errors) select 'work', n, 'failed', '[{}]' from generate_series(1, 5) n$$, 0, 'failed ones wait for a person'),
  ($$select retry_job(id) from job_queue where unique_key = '1'$$, 1, 'who has one retried'),
  ($$select redrive_failed_jobs()$$, 1, 'or four'),
  ($$delete from job_queue where status = 'pending'$$, 0, 'a delete leaves nothing to do'),
  ($$insert into job_queue (job_type, checkpoint, attempt_number, scheduled_at) values ('work', '{}', 1, now() + interval '1 day')$$, 0, 'a parked job is not due'),
  ($$select wake_job(id, '{}') from job_queue where status = 'pending'$$, 1, 'woken it is'),
  ($$update job_queue set scheduled_at = now() + interval '1 day' where status = 'pending'$$, 0, 'put off it is not'),
  ($$select cancel_job(id) from job_queue where status = 'pending'$$, 1, 'and ended soon when it is cancelled'),
  ($$select pause_job_type('play', 'x')$$, 0, 'a pause calls nobody'),
  ($$select resume_job_type('play')$$, 1, 'its end does'),
  ($$select resume_job_type('play')$$, 0, 'where there was one'),
  ($$truncate job_queue$$, 0, 'an empty queue is no news'),
  ($$insert into job_queue (job_type) values ('work'); truncate job_queue$$, 1, 'and may be emptied of what has just been made'),
  ($$insert into job_queue (job_type) values ('work'); select process_jobs.rebuild_places()$$, 1, 'places may be made anew at once'),
  ($$update job_types set fair_key = 'a' where job_type = 'work'; select enqueue_job('work', '{}')$$, 1, 'a job that has its turn rings too')
) c (sql, calls, what);

-- Savepoints.
select setval('process_jobs.last_ring', 1);
savepoint s;
select enqueue_job('work', '{}');
rollback to s;
select is(pg_temp.commit(), 0::bigint, 'what is rolled back calls nobody');
savepoint s;
select enqueue_job('work', '{}');
rollback to s;
select enqueue_job('work', '{}');
select is(pg_temp.commit(), 1::bigint, 'what comes after it does');
select setval('process_jobs.last_ring', 1);
savepoint s;
select enqueue_job('work', '{}');
release s;
savepoint s;
select enqueue_job('work', '{}');
rollback to s;
select is(pg_temp.commit(), 1::bigint, 'and so does what came before');

-- Across transactions.
select setval('process_jobs.last_ring', (extract(epoch from clock_timestamp()) * 1000)::bigint - 100);
select enqueue_job('work', '{}');
select is(pg_temp.commit(), 0::bigint, 'a tenth of a second after a call none is made');
select setval('process_jobs.last_ring', (extract(epoch from now()) * 1000)::bigint - 100);
select ok(seconds_until_next_job('{play}') between 0.398 and 0.402, 'but every drain looks once more');
select setval('process_jobs.last_ring', (extract(epoch from now()) * 1000)::bigint - 502);
select is(seconds_until_next_job('{play}'), null, 'until that look has been');
select enqueue_job('work', '{}');
select setval('process_jobs.last_ring', (extract(epoch from clock_timestamp()) * 1000)::bigint - 500);
select is(pg_temp.commit(), 1::bigint, 'half a second later one is');
select setval('process_jobs.last_ring', (extract(epoch from clock_timestamp()) * 1000)::bigint + 3600000);
select enqueue_job('work', '{}');
select is(pg_temp.commit(), 1::bigint, 'so it is where the clock has been set back');

select setval('process_jobs.last_ring', 1);
insert into job_queue (job_type) values ('work');
select process_jobs.uninstall();
select is((select count(*) from net.http_request_queue), 0::bigint, 'process-jobs can be taken out beside a job');
select * from finish();
rollback;
