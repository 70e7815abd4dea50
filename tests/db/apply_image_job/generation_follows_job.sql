begin;
select plan(21);
create function pg_temp.status() returns text language sql as $$ select status from image_generations where id = 'g-1' $$;
\set payload '{"generation_id": "g-1", "user_id": "u-1", "prompt": "a cat", "negative_prompt": "dog", "model_id": "owner/model", "width": 512, "height": 768, "num_inference_steps": 4, "guidance_scale": 7.5}'

select enqueue_job('generate-image', :'payload') as id \gset
select results_eq(
  'select id, user_id, prompt, negative_prompt, model, width, height, steps, guidance_scale, status from image_generations',
  $$values ('g-1', 'u-1', 'a cat', 'dog', 'owner/model', 512, 768, 4, 7.5::double precision, 'queued')$$,
  'enqueue_job alone makes the generation from the payload');
select lease_token from claim_next_job() \gset
select is(pg_temp.status(), 'processing', 'claimed: processing');
select snooze_job(:'id', :'lease_token', 0, '{"prediction_id": "p-1"}');
select is(pg_temp.status(), 'processing', 'parked: still processing');
select is((select replicate_prediction_id from image_generations), 'p-1', 'with the prediction of the checkpoint');
select lease_token from claim_next_job() \gset
select complete_job(:'id', p_error => 'replicate answered 503', p_lease_token => :'lease_token');
select results_eq('select status, error_message from image_generations', $$values ('processing', null::text)$$, 'retrying: still processing, no error');
update job_queue set scheduled_at = now();
select lease_token from claim_next_job() \gset
select complete_job(:'id', p_error => 'nsfw', p_lease_token => :'lease_token', p_retry => 'never',
  p_usage => '[{"id": "p-1", "status": "failed", "images": 0}]');
select results_eq('select status, error_message from image_generations', $$values ('failed', 'nsfw')$$, 'failed: failed, with its error');

select enqueue_job('generate-image', :'payload') as id \gset
select results_eq('select status, error_message from image_generations', $$values ('queued', null::text)$$, 'a new job queues it again');
update job_queue set status = 'cancelled' where id = :'id';
select is(pg_temp.status(), 'cancelled', 'cancelled: cancelled');

select enqueue_job('generate-image', :'payload', p_max_attempts => 1) as id \gset
select claim_next_job();
update job_queue set lease_expires_at = now() where status = 'processing';
select claim_next_job();
select results_eq(
  'select status, error_message from image_generations',
  $$values ('failed', 'lease expired on attempt 1 of 1: the worker was killed or lost')$$,
  'a lost worker''s last attempt fails the generation too');

select enqueue_job('generate-image', :'payload') as id \gset
select lease_token from claim_next_job() \gset
select complete_job(:'id', '{"prediction_id": "p-2"}', p_lease_token => :'lease_token',
  p_follow_ups => jsonb_build_array(jsonb_build_object('job_type', 'download-image', 'payload', :'payload'::jsonb)));
select is(pg_temp.status(), 'downloading', 'generated, with the download enqueued: downloading');
select is((select replicate_prediction_id from image_generations), 'p-2', 'with the prediction of the result, which no checkpoint told');
select id, lease_token from claim_next_job() \gset
select is(pg_temp.status(), 'downloading', 'download claimed: downloading');
select complete_job(:'id', p_error => 'storage answered 503', p_lease_token => :'lease_token');
select is(pg_temp.status(), 'downloading', 'download retrying: downloading');
update job_queue set scheduled_at = now();
select id, lease_token from claim_next_job() \gset
select complete_job(:'id', '{"storage_path": "u-1/g-1.png", "filename": "g-1.png"}', p_lease_token => :'lease_token');
select is(pg_temp.status(), 'completed', 'stored: completed');

-- Late jobs of a completed generation.
select enqueue_job('generate-image', :'payload') as id \gset
select is(pg_temp.status(), 'completed', 'a late job enqueued does not take it back');
select lease_token from claim_next_job() \gset
select is(pg_temp.status(), 'completed', 'nor claimed');
select complete_job(:'id', p_error => 'late', p_lease_token => :'lease_token', p_retry => 'never');
select results_eq('select status, error_message from image_generations', $$values ('completed', null::text)$$, 'nor failed');

-- A generation that the application made itself, and one of somebody else.
insert into image_generations (id, user_id, prompt, style) values ('own', 'u-1', 'its own prompt', 'oil'), ('foreign', 'u-2', 'x', null);
select enqueue_job('generate-image', '{"generation_id": "own", "user_id": "u-1", "prompt": "changed"}');
select results_eq(
  $$select status, prompt, style from image_generations where id = 'own'$$, $$values ('queued', 'its own prompt', 'oil')$$,
  'a row that is there keeps what the application wrote');
select throws_ok($$select enqueue_job('generate-image', '{"generation_id": "foreign", "user_id": "u-1"}')$$, 'P0001',
  'generation foreign belongs to another user than u-1', 'a job for another user''s generation is refused before it costs anything');
select is((select status from image_generations where id = 'foreign'), 'pending', 'a job cannot move another user''s generation');
select is((select count(*) from image_generations), 3::bigint, 'no other row was made');

select * from finish();
rollback;
