-- A stored picture is recorded, however odd its size; a row that a restore brings back changes nothing.
begin;
select plan(7);
insert into job_queue (job_type, payload) values ('download-image', '{"generation_id": "g", "user_id": "u"}');
select id, lease_token from claim_next_job() \gset
select is(complete_job(:'id', '{"storage_path": "u/g.png", "filename": "g.png", "width": 2415919104, "height": 8.4, "file_size": 9}',
  p_lease_token => :'lease_token'), true, 'what no column can hold refuses nothing');
select results_eq('select width, height from images', 'values (null::int, 8)', 'it is null');
select results_eq('select status, width, height from image_generations', $$values ('completed', null::int, 8)$$, 'for both');

insert into image_generations (id, user_id, status) values ('restored', 'u', 'processing');
insert into job_queue (job_type, payload, created_at, updated_at)
values ('generate-image', '{"generation_id": "restored", "user_id": "u"}', now() - interval '1 day', now() - interval '1 day'),
  ('generate-image', '{"generation_id": "not there", "user_id": "u"}', now() - interval '1 day', now() - interval '1 day');
select results_eq($$select id, status from image_generations where id <> 'g'$$, $$values ('restored', 'processing')$$, 'rows of another day are a restore''s');
select lives_ok($$insert into job_queue (job_type, payload, created_at, updated_at) values ('generate-image', '"of before"', now() - interval '1 day', now() - interval '1 day')$$,
  'and are let in as they are: one refused would fail the COPY of all');
select throws_ok($$insert into job_queue (job_type, payload) values ('generate-image', '"of now"')$$, '22023', null, 'one of now is looked at');
select throws_ok($$insert into job_queue (job_type, payload, updated_at) values ('generate-image', '"of now"', clock_timestamp() + interval '1 second')$$,
  '22023', null, 'also where a trigger of the app''s dates it');
select * from finish();
rollback;
