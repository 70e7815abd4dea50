begin;
select plan(9);
insert into job_types (job_type) values ('work');
insert into job_queue (job_type, payload, status, completed_at, lease_token, lease_expires_at) values
  ('work', '{"name": "old completed"}', 'completed', now() - interval '31 days', null, null),
  ('work', '{"name": "old failed"}', 'failed', now() - interval '32 days', null, null),
  ('work', '{"name": "old cancelled"}', 'cancelled', now() - interval '33 days', null, null),
  ('work', '{"name": "young"}', 'completed', now() - interval '29 days', null, null),
  ('work', '{"name": "pending"}', 'pending', null, null, null),
  ('work', '{"name": "processing"}', 'processing', null, gen_random_uuid(), now() - interval '40 days');
update job_queue set created_at = now() - interval '40 days', scheduled_at = now() - interval '40 days';

select is(prune_jobs(p_limit => 2), 2, 'at most so many');
select is(prune_jobs(), 1, 'those that are left');
select results_eq(
  $$select payload ->> 'name' from job_queue order by 1$$, $$values ('pending'), ('processing'), ('young')$$,
  'what is young or has not ended stays, however old');
select is(prune_jobs(), 0, 'nothing is left');
select is(prune_jobs(now() - interval '1 day'), 1, 'up to a time');
select throws_ok('select prune_jobs(null)', '22023', 'p_ended_before must be at least an hour ago, not null');
select throws_like($$select prune_jobs(now())$$, 'p_ended_before must be at least an hour ago, not %');
select throws_ok('select prune_jobs(p_limit => 0)', '22023', 'p_limit must be between 1 and 1000000, not 0');
select throws_ok('select prune_jobs(p_limit => 1000001)', '22023', 'p_limit must be between 1 and 1000000, not 1000001');

select * from finish();
rollback;
