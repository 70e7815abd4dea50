begin;
select plan(11);
insert into job_types (job_type) values ('work');

select enqueue_job('work', '{}') as id \gset
select lease_token as old_token from claim_next_job() \gset
select is(complete_job(:'id', '{}', p_lease_token => gen_random_uuid()), false, 'a foreign token is refused');
select is(complete_job(:'id', p_error => 'x', p_lease_token => gen_random_uuid()), false, 'also for an error');

update job_queue set lease_expires_at = now();
select lease_token as new_token from claim_next_job() \gset
select is(complete_job(:'id', '{}', p_lease_token => :'old_token'), false, 'after a takeover the old token is refused');
select is((select status from job_queue), 'processing', 'and changes nothing');
update job_queue set lease_expires_at = now();
select is(complete_job(:'id', '{}', p_lease_token => :'new_token'), true, 'an expired lease that nobody took settles');

-- update job_queue set status = 'pending' where status = 'processing', with the worker alive.
select enqueue_job('work', '{}') as id \gset
select lease_token from claim_next_job() \gset
update job_queue set status = 'pending' where status = 'processing';
select is(complete_job(:'id', '{"by": "the live worker"}', p_lease_token => :'lease_token'), true, 'an operator''s reset does not void the live worker''s settle');
select is((select status from job_queue where id = :'id'), 'completed', 'which completes the job');

select enqueue_job('work', '{}') as id \gset
select lease_token from claim_next_job() \gset
update job_queue set status = 'pending' where status = 'processing';
select is(complete_job(:'id', p_error => 'x', p_lease_token => :'lease_token', p_retry => 'never'), true, 'nor its failure');
select is((select status from job_queue where id = :'id'), 'failed', 'which fails it');

select enqueue_job('work', '{}') as id \gset
select lease_token from claim_next_job() \gset
update job_queue set status = 'pending' where status = 'processing';
select is_empty('select * from claim_next_job()', 'nor gives its job to another while its lease lasts');
update job_queue set lease_expires_at = now() - interval '1 second', status = 'processing', scheduled_at = now() where id = :'id';
update job_queue set status = 'pending' where status = 'processing';
select is((select id from claim_next_job()), :'id'::uuid, 'a job whose lease is over is free at once');

select * from finish();
rollback;
