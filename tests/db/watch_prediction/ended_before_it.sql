begin;
select plan(8);
\set payload '{"generation_id": "g-1", "user_id": "u-1", "prompt": "a cat", "model_id": "owner/model"}'
create function pg_temp.watched() returns table (payload jsonb) language sql as $$
  select payload from job_queue where job_type = 'watch-prediction' $$;

-- Killed at the last attempt, while its prediction runs.
select enqueue_job('generate-image', :'payload', p_max_attempts => 1) as id \gset
select lease_token from claim_next_job('{generate-image}') \gset
select snooze_job(:'id', :'lease_token', 0, '{"prediction_id": "p-1"}');
select lease_token from claim_next_job('{generate-image}') \gset
update job_queue set lease_expires_at = now() where status = 'processing';
select claim_next_job('{generate-image}');
select is((select status from job_queue where id = :'id'), 'failed', 'the job has failed');
select results_eq('select payload from pg_temp.watched()',
  format($$values ('{"prediction_id": "p-1", "job_id": "%s", "life": 1}'::jsonb)$$, :'id'), 'its prediction is watched');
select results_eq($$select scheduled_at, priority, unique_key from job_queue where job_type = 'watch-prediction'$$,
  $$values (now() + interval '15 seconds', 1000000, 'watch-prediction:p-1')$$, 'in a moment, and before new work');
select retry_job(:'id');
select is((select count(*) from pg_temp.watched()), 1::bigint, 'a retry changes nothing about it');

-- Ended, and seen to have.
select lease_token from claim_next_job('{generate-image}') \gset
select snooze_job(:'id', :'lease_token', 0, '{"prediction_id": "p-2"}');
select lease_token from claim_next_job('{generate-image}') \gset
select complete_job(:'id', p_error => 'prediction p-2 failed', p_lease_token => :'lease_token', p_retry => 'never',
  p_usage => '[{"id": "p-2", "status": "failed", "images": 0}]');
select is((select count(*) from pg_temp.watched()), 1::bigint, 'what is recorded with the end needs no watch');

-- Cancelled by hand, then by a worker that could not wait.
select enqueue_job('generate-image', :'payload') as id \gset
select lease_token from claim_next_job('{generate-image}') \gset
select snooze_job(:'id', :'lease_token', 0, '{"prediction_id": "p-3"}');
select cancel_job(:'id');
select lease_token from claim_next_job('{generate-image}') \gset
select cancel_job(:'id', :'lease_token');
select is((select array_agg(payload ->> 'prediction_id' order by payload ->> 'prediction_id') from pg_temp.watched()), '{p-1,p-3}', 'one that was cancelled is watched');
update job_queue set error_message = 'changed by hand' where id = :'id';
select is((select count(*) from pg_temp.watched()), 2::bigint, 'once');

-- Without the type the job ends all the same.
delete from job_queue where job_type = 'watch-prediction';
delete from job_types where job_type = 'watch-prediction';
select enqueue_job('generate-image', :'payload', p_max_attempts => 1) as id \gset
select lease_token from claim_next_job('{generate-image}') \gset
select snooze_job(:'id', :'lease_token', 0, '{"prediction_id": "p-4"}');
select lease_token from claim_next_job('{generate-image}') \gset
select complete_job(:'id', p_error => 'no', p_lease_token => :'lease_token', p_retry => 'never');
select is((select status from job_queue where id = :'id'), 'failed', 'without that type the job ends all the same');
select * from finish();
rollback;
