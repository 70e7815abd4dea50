begin;
select plan(14);
insert into job_types (job_type) values ('work');
select enqueue_job('work', '{}', p_max_attempts => 2) as id \gset

select lease_token as first_token from claim_next_job(p_lease_seconds => 30) \gset
select results_eq(
  'select status, attempt_number, lease_expires_at, started_at from job_queue',
  $$values ('processing', 1, now() + interval '30 seconds', now())$$,
  'a claim gives a lease and counts an attempt');
select is_empty('select * from claim_next_job()', 'a job under its lease is not claimed');

update job_queue set lease_expires_at = now(), started_at = now() - interval '90 seconds', checkpoint = '{"prediction_id": "p"}';
select results_eq(
  'select status, attempt_number, checkpoint, age_seconds from claim_next_job()',
  $$values ('processing', 2, '{"prediction_id": "p"}'::jsonb, 90::double precision)$$,
  'an expired lease is taken like a pending job, with its checkpoint and its age');
select isnt((select lease_token from job_queue), :'first_token'::uuid, 'under a fresh token');
select is(
  (select errors from job_queue),
  jsonb_build_array(jsonb_build_object(
    'attempt', 1, 'at', now(), 'kind', 'lease_expired',
    'message', 'lease expired on attempt 1 of 2: the worker was killed or lost')),
  'the lost attempt is on record');

update job_queue set lease_expires_at = now();
select is_empty('select * from claim_next_job()', 'the last attempt''s lease is not taken up again');
select results_eq(
  'select status, error_message, completed_at, lease_token, jsonb_array_length(errors) from job_queue',
  $$values ('failed', 'lease expired on attempt 2 of 2: the worker was killed or lost', now(), null::uuid, 2)$$,
  'it fails with a reason');

-- What a tired operator does: update job_queue set status = 'pending' where status = 'processing'.
delete from job_queue;
select enqueue_job('work', '{}', p_max_attempts => 1) as id \gset
select lease_token as old_token from claim_next_job() \gset
update job_queue set status = 'pending', lease_expires_at = now() where status = 'processing';
select results_eq(
  'select attempt_number, max_attempts from claim_next_job()', 'values (2, 2)',
  'a job put back by hand after its last attempt gets one more');
select is(complete_job(:'id', '{}', p_lease_token => :'old_token'), false, 'and the first worker''s settle is refused');

-- One more expired lease than a call takes back.
delete from job_queue;
insert into job_queue (job_type, status, attempt_number, lease_token, lease_expires_at)
select 'work', 'processing', 1, gen_random_uuid(), now() from generate_series(1, 101);
select lives_ok('select claim_next_job()', 'a claim over 101 expired leases');
select is((select count(*) from job_queue where errors <> '[]'), 100::bigint, 'takes 100 of them back');
select is((select count(*) from job_queue where lease_expires_at > now()), 1::bigint, 'and claims one');
select lives_ok('select claim_next_job()', 'the next claim');
select is((select count(*) from job_queue where errors <> '[]'), 101::bigint, 'takes the last one back');

select * from finish();
rollback;
