begin;
select plan(16);
insert into job_types (job_type) values ('work');
select enqueue_job('work', '{}') as id \gset

select lease_token from claim_next_job() \gset
select is(snooze_job(:'id', gen_random_uuid(), 1), false, 'a foreign token is refused');
select is(snooze_job(:'id', :'lease_token', 2.5), true, 'a hand-back is recorded');
select results_eq(
  'select status, attempt_number, scheduled_at, checkpoint, lease_token, started_at, errors from job_queue',
  $$values ('pending', 0, now() + interval '2.5 seconds', null::jsonb, null::uuid, null::timestamptz, '[]'::jsonb)$$,
  'the attempt is given back, and a job that has not begun has no age');
select is(snooze_job(:'id', :'lease_token', 1), false, 'the token is spent');

update job_queue set scheduled_at = now();
select lease_token from claim_next_job() \gset
select is(snooze_job(:'id', :'lease_token', 0, '{"prediction_id": "p"}', 40), true, 'a job parks with a checkpoint');
select results_eq(
  'select attempt_number, checkpoint, progress, started_at from job_queue',
  $$values (0, '{"prediction_id": "p"}'::jsonb, 40::smallint, now())$$,
  'which it keeps, with its progress and its age');
select lease_token from claim_next_job() \gset
select is(snooze_job(:'id', :'lease_token', 0), true, 'a second park without checkpoint and progress');
select results_eq(
  'select attempt_number, checkpoint, progress from job_queue', $$values (0, '{"prediction_id": "p"}'::jsonb, 40::smallint)$$,
  'keeps both');

select lease_token from claim_next_job() \gset
update job_queue set status = 'pending', lease_expires_at = now() where status = 'processing';
select is(snooze_job(:'id', :'lease_token', 0), true, 'an operator''s reset does not void the live worker''s park');
select lease_token from claim_next_job() \gset
select complete_job(:'id', '{}', p_lease_token => :'lease_token');
select is(snooze_job(:'id', :'lease_token', 0), false, 'a completed job stays completed');

select throws_ok(format('select snooze_job(%L, %L, -1)', :'id', :'id'), '22023', 'p_delay_seconds must be between 0 and 2592000, not -1');
select throws_ok(format('select snooze_job(%L, %L, ''NaN'')', :'id', :'id'), '22023', 'p_delay_seconds must be between 0 and 2592000, not NaN');
select throws_ok(format('select snooze_job(%L, %L, null)', :'id', :'id'), '22023', 'p_delay_seconds must be between 0 and 2592000, not null');
select throws_ok(format('select snooze_job(%L, %L, 2592001)', :'id', :'id'), '22023', 'p_delay_seconds must be between 0 and 2592000, not 2592001');
select throws_ok(format('select snooze_job(%L, %L, 1, p_progress => 101)', :'id', :'id'), '22023', 'p_progress must be between 0 and 100, not 101');
select is(snooze_job(gen_random_uuid(), gen_random_uuid(), 1), false, 'a job that is not there: false');

select * from finish();
rollback;
