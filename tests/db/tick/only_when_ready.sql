begin;
select plan(9);
insert into job_types (job_type) values ('work');
select process_jobs.store_secret('the secret key');
create function pg_temp.calls() returns bigint language sql as $$
  select process_jobs.tick('https://project.example/functions/v1/process-jobs', 5000);
  select count(*) from net.http_request_queue
$$;

select is(pg_temp.calls(), 0::bigint, 'an idle project makes no call');
insert into job_queue (job_type, scheduled_at) values ('work', now() + interval '1 second');
select is(pg_temp.calls(), 0::bigint, 'nor does one whose job is not due');
select pause_job_type('work', 'x');
update job_queue set scheduled_at = now();
select is(pg_temp.calls(), 0::bigint, 'nor one whose job is paused');
select resume_job_type('work');
select is(pg_temp.calls(), 1::bigint, 'a ready job is called for');
select results_eq(
  'select method, url, headers, body, timeout_milliseconds from net.http_request_queue',
  $$values ('POST', 'https://project.example/functions/v1/process-jobs',
    '{"apikey": "the secret key", "Content-Type": "application/json", "Prefer": "respond-async"}'::jsonb, '{}', 5000)$$,
  'with the key, a time-out of its own, and no wish to wait');
select lease_token from claim_next_job() \gset
select is(pg_temp.calls(), 1::bigint, 'a job at work is not called for');
update job_queue set lease_expires_at = now() where status = 'processing';
select is(pg_temp.calls(), 2::bigint, 'an expired lease is');
select process_jobs.tick('https://x/f', 1) as request_id \gset
select is(:request_id::bigint, (select max(id) from net.http_request_queue), 'the request''s id is answered');
update job_queue set status = 'completed', lease_token = null;
select is(process_jobs.tick('https://x/f', 1), null, 'null when nobody was called');

select * from finish();
rollback;
