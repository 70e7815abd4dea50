begin;
select plan(24);
insert into job_types (job_type) values ('work');
create function pg_temp.job(p_id uuid) returns job_queue language sql as 'select * from job_queue where id = p_id';

-- Never at work: nothing has to be ended.
select enqueue_job('work', '{}') as id \gset
select is(cancel_job(:'id'), true, 'a pending job is cancelled');
select results_eq(
  format('select status, completed_at from pg_temp.job(%L)', :'id'), $$values ('cancelled', now())$$, 'at once');
select is(cancel_job(:'id'), false, 'a cancelled job is final');
select is(cancel_job(gen_random_uuid()), false, 'a job that is not there: false');

-- Parked: a worker ends what it has begun.
select enqueue_job('work', '{}') as id \gset
select lease_token from claim_next_job() \gset
select snooze_job(:'id', :'lease_token', 300, '{"prediction_id": "p"}');
select pause_job_type('work', 'no credit');
select is(cancel_job(:'id'), true, 'a parked job is asked to cancel');
select is(cancel_job(:'id'), true, 'and may be asked again');
select is((pg_temp.job(:'id')).status, 'pending', 'it does not end yet');
select is(seconds_until_next_job(), 0::float8, 'but is due');
select id as claimed, lease_token, cancel_requested, checkpoint from claim_next_job() \gset
select is(:'claimed'::uuid, :'id', 'and claimed, though its type is paused');
select is(:'cancel_requested'::boolean, true, 'with the wish');
select is(:'checkpoint'::jsonb, '{"prediction_id": "p"}', 'and what it has begun');
select is(cancel_job(:'id', gen_random_uuid()), false, 'a foreign token does not end it');
select is(cancel_job(:'id', :'lease_token'), true, 'the worker''s does');
select is((pg_temp.job(:'id')).status, 'cancelled', 'and it is cancelled');
select resume_job_type('work');

-- Processing: the run's end is the job's.
select enqueue_job('work', '{}') as id \gset
select lease_token from claim_next_job() \gset
select cancel_job(:'id');
select is((pg_temp.job(:'id')).status, 'processing', 'a job at work goes on');
select is(
  complete_job(:'id', '{"a": 1}', p_lease_token => :'lease_token', p_follow_ups => '[{"job_type": "work", "payload": {}}]'), true,
  'its success is taken');
select results_eq(
  format('select status, result from pg_temp.job(%L)', :'id'), $$values ('cancelled', null::jsonb)$$, 'as the end of a cancelled job');
select is_empty($$select * from job_queue where status = 'pending'$$, 'without follow-ups');

select enqueue_job('work', '{}') as id \gset
select lease_token from claim_next_job() \gset
select cancel_job(:'id');
select snooze_job(:'id', :'lease_token', 300, '{"prediction_id": "p"}');
select is((pg_temp.job(:'id')).scheduled_at, now(), 'one that parks is due at once');
select lease_token from claim_next_job() \gset
select complete_job(:'id', p_error => 'replicate answered 500', p_lease_token => :'lease_token');
select is((pg_temp.job(:'id')).status, 'pending', 'one that cannot be ended is tried again');
update job_queue set max_attempts = 2, scheduled_at = now() where id = :'id';
select lease_token from claim_next_job() \gset
select complete_job(:'id', p_error => 'replicate answered 500', p_lease_token => :'lease_token');
select results_eq(
  format('select status, error_message from pg_temp.job(%L)', :'id'), $$values ('cancelled', 'replicate answered 500')$$,
  'and cancelled all the same at its last attempt');

-- The worker dies over it.
select enqueue_job('work', '{}', p_max_attempts => 1) as id \gset
select lease_token from claim_next_job() \gset
select cancel_job(:'id');
update job_queue set lease_expires_at = now() where id = :'id';
select is_empty('select * from claim_next_job()', 'a last attempt that is lost');
select is((pg_temp.job(:'id')).status, 'cancelled', 'ends cancelled too');

-- Retrying: its first attempt may have left something.
select enqueue_job('work', '{}') as id \gset
select lease_token from claim_next_job() \gset
select complete_job(:'id', p_error => 'lost', p_lease_token => :'lease_token');
select cancel_job(:'id');
select results_eq(
  'select id, attempt_number, cancel_requested from claim_next_job()', format($$values (%L::uuid, 2, true)$$, :'id'),
  'a retrying job goes to a worker first');

select * from finish();
rollback;
