begin;
select plan(9);
insert into job_types (job_type) values ('work');
select enqueue_job('work', '{}') as id \gset
select lease_token from claim_next_job() \gset
update job_queue set lease_expires_at = now() + interval '1 second';

select is(heartbeat_job(:'id', gen_random_uuid()), false, 'a foreign token is refused');
select is((select lease_expires_at from job_queue), now() + interval '1 second', 'and extends nothing');
select is(heartbeat_job(:'id', :'lease_token', 90, 25), true, 'the claim''s token is taken');
select results_eq(
  'select status, lease_expires_at, progress from job_queue', $$values ('processing', now() + interval '90 seconds', 25::smallint)$$,
  'the lease counts from now');
select heartbeat_job(:'id', :'lease_token');
select results_eq(
  'select lease_expires_at, progress from job_queue', $$values (now() + interval '60 seconds', 25::smallint)$$,
  '60 s by default, and no progress keeps the stored one');
update job_queue set status = 'pending';
select is(heartbeat_job(:'id', :'lease_token'), false, 'a job that is not processing has no lease to extend');
select throws_ok(format('select heartbeat_job(%L, %L, 0)', :'id', :'id'), '22023', 'p_lease_seconds must be between 1 and 86400, not 0');
select throws_ok(format('select heartbeat_job(%L, %L, 60, -1)', :'id', :'id'), '22023', 'p_progress must be between 0 and 100, not -1');
select is(heartbeat_job(gen_random_uuid(), gen_random_uuid()), false, 'a job that is not there: false');

select * from finish();
rollback;
