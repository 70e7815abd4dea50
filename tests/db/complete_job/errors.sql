begin;
select plan(16);
insert into job_types (job_type, backoff_base_seconds, backoff_max_seconds) values ('work', 5, 600);

-- Fails one attempt with backoff and answers after how many seconds the job may run again.
create function pg_temp.backoff_after(p_attempt int) returns double precision language plpgsql as $$
declare
  v_id uuid;
begin
  insert into job_queue (job_type, attempt_number, max_attempts) values ('work', p_attempt - 1, 100);
  select id into strict v_id from claim_next_job();
  perform complete_job(v_id, p_error => 'no');
  return (select extract(epoch from scheduled_at - now()) from job_queue where id = v_id and status = 'pending');
end
$$;
select cmp_ok(pg_temp.backoff_after(1), '>=', 3.75::double precision, 'attempt 1: 5 s - 25 % at least');
select cmp_ok(pg_temp.backoff_after(1), '<=', 6.25::double precision, 'attempt 1: 5 s + 25 % at most');
select cmp_ok(pg_temp.backoff_after(4), '>=', 30::double precision, 'attempt 4: 40 s - 25 % at least');
select cmp_ok(pg_temp.backoff_after(4), '<=', 50::double precision, 'attempt 4: 40 s + 25 % at most');
select cmp_ok(pg_temp.backoff_after(99), '>=', 450::double precision, 'attempt 99: 600 s - 25 % at least');
select cmp_ok(pg_temp.backoff_after(99), '<=', 750::double precision, 'attempt 99: 600 s + 25 % at most');
select cmp_ok(
  (select count(distinct d) from (select pg_temp.backoff_after(1) as d from generate_series(1, 5)) s), '>', 1::bigint,
  'jobs that fail together do not come back together');

delete from job_queue;
select enqueue_job('work', '{}', p_max_attempts => 2) as id \gset
select lease_token from claim_next_job() \gset
select is(complete_job(:'id', p_error => 'replicate answered 503', p_lease_token => :'lease_token', p_error_kind => 'http'), true, 'an error is recorded');
select results_eq(
  'select status, error_message, completed_at, lease_token, errors from job_queue',
  $$values ('pending', 'replicate answered 503', null::timestamptz, null::uuid,
    jsonb_build_array(jsonb_build_object('attempt', 1, 'at', now(), 'kind', 'http', 'message', 'replicate answered 503')))$$,
  'with attempts left the job is pending again');
select is(complete_job(:'id', '{}', p_lease_token => :'lease_token'), false, 'and not the worker''s any more');
update job_queue set scheduled_at = now();
select lease_token from claim_next_job() \gset
select is(complete_job(:'id', p_error => repeat('x', 3000), p_lease_token => :'lease_token'), true, 'the second error');
select results_eq(
  $$select status, length(error_message), completed_at, errors -> 1 ->> 'kind', length(errors -> 1 ->> 'message') from job_queue$$,
  $$values ('failed', 2000, now(), 'error', 2000)$$,
  'with attempts spent the job fails, and messages are cut');
select is(complete_job(:'id', '{}'), false, 'a failed job stays failed');

select enqueue_job('work', '{}') as id \gset
select lease_token from claim_next_job() \gset
select is(complete_job(:'id', p_error => 'bad prompt', p_lease_token => :'lease_token', p_retry => 'never'), true, 'p_retry never');
select is((select status from job_queue where id = :'id'), 'failed', 'fails at once');
select is((select attempt_number from job_queue where id = :'id'), 1, 'on its first attempt');

select * from finish();
rollback;
