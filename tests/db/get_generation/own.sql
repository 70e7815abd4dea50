-- What a user sees of a generation by looking; that it is what Realtime tells is seen in ../seeing.rs.
begin;
select plan(13);
insert into user_limits (applies_to) values ('all');
set local request.jwt.claims = '{"role": "authenticated", "sub": "user-1"}';
select request_generation('a fox', 'a/b') ->> 'id' as mine \gset
select is(get_generation(:'mine'), jsonb_build_object('id', :'mine', 'user_id', 'user-1', 'status', 'queued', 'progress', 0), 'one''s own');
select is(get_generation('none'), null, 'none');
select is(get_generation(null), null, 'null is none');
set local request.jwt.claims = '{"role": "authenticated", "sub": "user-2"}';
select is(get_generation(:'mine'), null, 'somebody else''s is as one that does not exist');
set local request.jwt.claims = '{"role": "anon"}';
select throws_like('select get_generation(null)', 'sign in first: %', 'no user');

set local request.jwt.claims = '{"role": "authenticated", "sub": "user-1"}';
select count(*) from claim_next_job() \gset
select is(get_generation(:'mine') ->> 'status', 'processing', 'at work');
update job_queue set status = 'failed', error_message = 'the prompt was refused';
select is(get_generation(:'mine') - '{id,user_id}'::text[], '{"status": "failed", "progress": 0, "error_message": "the prompt was refused"}', 'a failed one says why');
select retry_job(id) from job_queue;
select is(get_generation(:'mine') - '{id,user_id}'::text[], '{"status": "queued", "progress": 0}', 'brought back, it says no more');

-- Several pictures, and a job that an operator has completed without any.
insert into job_queue (job_type, payload, created_at) select 'download-image', payload || '{"output_url": "https://x/y"}', created_at + interval '1 s' from job_queue;
select is(get_generation(:'mine') ->> 'status', 'downloading', 'on its way');
select complete_job(id, '{"images": [{"storage_path": "u/0.png", "filename": "0.png", "file_size": 1}, {"storage_path": "u/1.png", "filename": "1.png", "width": 8}]}', p_lease_token => lease_token)
from claim_next_job('{download-image}');
select is(get_generation(:'mine') -> 'images', '[{"filename": "0.png", "storage_path": "u/0.png"}, {"filename": "1.png", "storage_path": "u/1.png", "width": 8}]', 'its pictures, in their order');
update job_queue set result = null where job_type = 'download-image';
select is(get_generation(:'mine') - '{id,user_id}'::text[], '{"status": "completed", "progress": 100}', 'none that its job does not know of');

-- A row that is not there (yet) is told by the job.
delete from image_generations;
select is(get_generation(:'mine') - '{id,user_id}'::text[], '{"status": "completed", "progress": 0}', 'without a row');
delete from job_queue;
select is(get_generation(:'mine'), null, 'as long as its jobs are kept');
select * from finish();
rollback;
