begin;
select plan(3);
insert into job_types (job_type) values ('work');

select enqueue_job('work', '{}') as id \gset
select is((select created_by from job_queue where id = :'id'), session_user::text, 'without a token it is the session''s user');
set local request.jwt.claims = '{"role": "service_role"}';
select enqueue_job('work', '{}') as id \gset
select is((select created_by from job_queue where id = :'id'), 'service_role', 'with a key''s token it is the role');
set local request.jwt.claims = '{"role": "authenticated", "sub": "user-1"}';
select enqueue_job('work', '{}') as id \gset
select is((select created_by from job_queue where id = :'id'), 'user-1', 'with a user''s token it is the user');

select * from finish();
rollback;
