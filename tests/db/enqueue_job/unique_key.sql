begin;
select plan(6);
insert into job_types (job_type) values ('work'), ('play');

select enqueue_job('work', '{}', p_unique_key => 'k') as first_id \gset
select is(enqueue_job('work', '{"second": true}', p_unique_key => 'k'), :'first_id'::uuid, 'while pending, the first id is answered');
select is((select payload from job_queue), '{}'::jsonb, 'and the first payload stays');
select lease_token from claim_next_job() \gset
select is(enqueue_job('work', '{}', p_unique_key => 'k'), :'first_id'::uuid, 'while processing too');
select isnt(enqueue_job('play', '{}', p_unique_key => 'k'), :'first_id'::uuid, 'another type''s key is another key');
select complete_job(:'first_id', '{}', p_lease_token => :'lease_token');
select isnt(enqueue_job('work', '{}', p_unique_key => 'k'), :'first_id'::uuid, 'once it has ended, the key is free');
select is((select count(*) from job_queue), 3::bigint, 'nothing else was enqueued');

select * from finish();
rollback;
