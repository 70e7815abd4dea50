-- A job that waits for the end of a function's work ends by hand, without a token.
begin;
select plan(16);
insert into job_types (job_type, call_function) values ('mail', 'send-mail');
insert into job_types (job_type) values ('work');

select enqueue_job('mail', '{}') as id \gset
select is(complete_job(:'id', '{"a": 1}'), false, 'a job that was never called has no end');
select lease_token from claim_next_job('{call_function}') \gset
select snooze_job(:'id', :'lease_token', 600, '{"attempt_number": 1, "until_age_seconds": 600}');
select is(complete_job(:'id', '{"a": 1}', p_lease_token => :'lease_token'), false, 'the token of the call is over');
select is(complete_job(:'id', '{"a": 1}'), true, 'one that waits is completed');
select results_eq(
  $$select status, result, attempt_number, lease_token, completed_at is not null from job_queue$$,
  $$values ('completed', '{"a": 1}'::jsonb, 1, null::uuid, true)$$, 'with its result, at the attempt of its call');
select is(complete_job(:'id', '{"a": 2}'), false, 'once');
select is((select count(*) from process_jobs.misplaced_jobs()), 0::bigint, 'it has no place any more');

-- An error is another attempt's, and the attempt counts.
delete from job_queue;
select enqueue_job('mail', '{}', p_max_attempts => 2) as id \gset
select lease_token from claim_next_job('{call_function}') \gset
select snooze_job(:'id', :'lease_token', 600, '{"attempt_number": 1, "until_age_seconds": 600}');
select is(complete_job(:'id', p_error => 'no'), true, 'an error');
select results_eq(
  $$select status, attempt_number, jsonb_array_length(errors), scheduled_at < now() + interval '10 seconds', lease_token from job_queue$$,
  $$values ('pending', 1, 1, true, null::uuid)$$, 'backs off');
select is((select count(*) from process_jobs.misplaced_jobs()), 0::bigint, 'and has its place');
update job_queue set scheduled_at = now();
select lease_token from claim_next_job('{call_function}') \gset
select snooze_job(:'id', :'lease_token', 600, '{"attempt_number": 2, "until_age_seconds": 600}');
select complete_job(:'id', p_error => 'no');
select is((select status from job_queue), 'failed', 'the last attempt''s error is the end');

-- Cancelled meanwhile.
delete from job_queue;
select enqueue_job('mail', '{}') as id \gset
select lease_token from claim_next_job('{call_function}') \gset
select snooze_job(:'id', :'lease_token', 600, '{"attempt_number": 1, "until_age_seconds": 600}');
select cancel_job(:'id');
select is(complete_job(:'id', '{"a": 1}'), true, 'the work is done after its cancel');
select results_eq('select status, result from job_queue', $$values ('cancelled', null::jsonb)$$, 'it is cancelled');

-- An event of a called function's job is kept for the run that ends it.
delete from job_queue;
select enqueue_job('mail', '{}') as id \gset
select lease_token from claim_next_job('{call_function}') \gset
select snooze_job(:'id', :'lease_token', 600, '{"attempt_number": 1, "until_age_seconds": 600}');
select wake_job(:'id', '{"status": "completed", "result": 1}', 1);
select results_eq(
  $$select event, attempt_number, call_function from claim_next_job('{call_function}')$$,
  $$values ('{"status": "completed", "result": 1}'::jsonb, 1, 'send-mail')$$, 'a woken job is claimed, in the same attempt');

-- Other types' jobs that wait are their workers'.
delete from job_queue;
select enqueue_job('work', '{}') as id \gset
select lease_token from claim_next_job('{work}') \gset
select snooze_job(:'id', :'lease_token', 600, '{"a": 1}');
select is(complete_job(:'id', '{}'), false, 'a parked job of another type is not completed');
select results_eq('select status, lease_token, attempt_number from job_queue', $$values ('pending', null::uuid, 0)$$, 'and nothing has changed');
select is((select count(*) from process_jobs.misplaced_jobs()), 0::bigint, 'all have their places');
select * from finish();
rollback;
