begin;
select plan(18);
insert into job_types (job_type) values ('work');
create function pg_temp.job(p_id uuid) returns job_queue language sql as 'select * from job_queue where id = p_id';

select enqueue_job('work', '{}') as id \gset
select lease_token from claim_next_job() \gset
select snooze_job(:'id', :'lease_token', 300, '{"prediction_id": "p"}');
select is(wake_job(:'id', '{"status": "succeeded"}'), true, 'a parked job is woken');
select is(wake_job(:'id', '{"status": "succeeded"}'), false, 'the same once more is nothing new');
select is((pg_temp.job(:'id')).scheduled_at, now(), 'it is due now');
select lease_token, event from claim_next_job() \gset
select is(:'event'::jsonb, '{"status": "succeeded"}', 'and handed the event');
select snooze_job(:'id', :'lease_token', 300);
select is((pg_temp.job(:'id')).scheduled_at, now() + interval '300 seconds', 'an event that a run has seen wakes no more');

-- An event that comes before the job has parked.
update job_queue set scheduled_at = now();
select lease_token from claim_next_job() \gset
select is(wake_job(:'id', '{"status": "failed"}'), true, 'an event reaches a job at work');
select is((pg_temp.job(:'id')).lease_token, :'lease_token', 'which keeps its lease');
select snooze_job(:'id', :'lease_token', 300);
select is((pg_temp.job(:'id')).scheduled_at, now(), 'and is due as soon as it parks');
select lease_token, event from claim_next_job() \gset
select is(:'event'::jsonb, '{"status": "failed"}', 'with the later event');

select complete_job(:'id', '{}', p_lease_token => :'lease_token');
select is(wake_job(:'id', '{"status": "late"}'), false, 'terminal is final');
select results_eq(format('select status, event from pg_temp.job(%L)', :'id'), $$values ('completed', null::jsonb)$$, 'and an ended job keeps no event');

-- The worker of the last attempt dies.
select enqueue_job('work', '{}', p_max_attempts => 1) as id \gset
select claim_next_job();
select wake_job(:'id', '{"status": "failed"}');
update job_queue set lease_expires_at = now() where id = :'id';
select claim_next_job();
select results_eq(format('select status, event from pg_temp.job(%L)', :'id'), $$values ('failed', null::jsonb)$$, 'nor does one whose last lease has expired');

select is(wake_job(gen_random_uuid(), '{}'), false, 'a job that is not there: false');

-- A late report of an earlier life is none of the new one's.
select enqueue_job('work', '{}') as id \gset
select life, lease_token from claim_next_job() \gset
select complete_job(:'id', p_error => 'x', p_lease_token => :'lease_token', p_retry => 'never');
select retry_job(:'id');
select is(wake_job(:'id', '{"status": "canceled"}', :'life'), false, 'an event of an earlier life counts no more');
select is((pg_temp.job(:'id')).event, null, 'and leaves nothing');
select is(wake_job(:'id', '{"status": "succeeded"}', :'life' + 1), true, 'one of the present life does');
select throws_ok('select wake_job(gen_random_uuid(), ''[]'')', '22023', 'p_event must be a json object, not array');
select throws_like($$select wake_job(gen_random_uuid(), jsonb_build_object('a', repeat('a', 1048576)))$$, 'p_event must have at most 1048576 bytes%');

select * from finish();
rollback;
