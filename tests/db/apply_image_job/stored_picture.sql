begin;
select plan(12);
\set payload '{"generation_id": "g-1", "user_id": "u-1", "output_url": "https://x/y.png", "prompt": "a cat", "negative_prompt": "dog", "model_id": "owner/model", "width": 1024, "height": 1024}'
\set stored '{"filename": "g-1.webp", "storage_path": "u-1/g-1.webp", "public_url": "http://s/u-1/g-1.webp", "file_size": 5000000000, "width": 640, "height": 480, "format": "webp"}'

select enqueue_job('download-image', :'payload') as id \gset
select is((select status from image_generations), 'downloading', 'a download alone makes its generation');
update image_generations set created_at = now() - interval '90 seconds';
select lease_token from claim_next_job() \gset
select is(complete_job(:'id', :'stored', p_lease_token => :'lease_token'), true, 'a stored picture settles');
select results_eq(
  'select generation_id, user_id, filename, storage_path, public_url, file_size, width, height, format, prompt, negative_prompt, model from images',
  $$values ('g-1', 'u-1', 'g-1.webp', 'u-1/g-1.webp', 'http://s/u-1/g-1.webp', 5000000000, 640, 480, 'webp', 'a cat', 'dog', 'owner/model')$$,
  'its row has the file''s own size, width, height and format');
select results_eq(
  'select status, width, height, completed_at, floor(generation_time_seconds) from image_generations',
  $$values ('completed', 640, 480, now(), 90::double precision)$$,
  'and so has the generation, with the seconds since it was made');

select enqueue_job('download-image', :'payload') as id \gset
select lease_token from claim_next_job() \gset
select complete_job(:'id', :'stored', p_lease_token => :'lease_token');
select is((select count(*) from images), 1::bigint, 'a download that runs twice leaves one row');

select enqueue_job('download-image', '{"generation_id": "g-2", "user_id": "u-1"}') as id \gset
select claim_next_job();
select is(complete_job(:'id', '{"by": "hand"}'), true, 'a completion by hand without storage_path is taken');
select is((select count(*) from images), 1::bigint, 'and makes no row');

-- Several pictures of one generation.
select enqueue_job('download-image', '{"generation_id": "g-3", "user_id": "u-1"}') as id \gset
select lease_token from claim_next_job() \gset
select complete_job(:'id', p_lease_token => :'lease_token', p_result => '{"images": [
  {"filename": "g-3.png", "storage_path": "u-1/g-3.png", "width": 640, "height": 480}, {"filename": "g-3-2.png", "storage_path": "u-1/g-3-2.png", "width": 1, "height": 2}]}');
select set_eq($$select filename, width from images where generation_id = 'g-3'$$, $$values ('g-3.png', 640), ('g-3-2.png', 1)$$, 'each has its row');
select results_eq($$select status, width from image_generations where id = 'g-3'$$, $$values ('completed', 640)$$, 'and the generation the first one''s size');

-- What cannot be recorded refuses the settle: job, generation and image change together or not at all.
insert into image_generations (id, user_id) values ('foreign', 'u-2');
select enqueue_job('download-image', '{"generation_id": "foreign", "user_id": "u-1"}') as id \gset
select lease_token from claim_next_job() \gset
select throws_ok(
  format('select complete_job(%L, %L, p_lease_token => %L)', :'id', :'stored', :'lease_token'),
  'P0001', 'generation foreign belongs to another user than u-1');
select is((select status from job_queue where id = :'id'), 'processing', 'the job is still the worker''s');
select is(complete_job(:'id', p_error => 'generation foreign belongs to another user than u-1', p_lease_token => :'lease_token', p_retry => 'never'), true, 'and its failure is recorded');

select * from finish();
rollback;
