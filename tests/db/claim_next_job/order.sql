begin;
select plan(8);
insert into job_types (job_type) values ('work'), ('play');
insert into job_queue (job_type, payload, priority, created_at, scheduled_at) values
  ('work', '{"name": "3: old"}', 0, now() - interval '2 hours', now()),
  ('play', '{"name": "4: young"}', 0, now() - interval '1 hour', now()),
  ('work', '{"name": "2: second of the high"}', 9, now() - interval '1 minute', now()),
  ('play', '{"name": "1: first of the high"}', 9, now() - interval '2 minutes', now()),
  ('work', '{"name": "not due"}', 99, now() - interval '1 day', now() + interval '1 second'),
  ('none', '{"name": "unknown type"}', 99, now() - interval '1 day', now());

select results_eq(
  $$select payload ->> 'name' from claim_next_job()$$, $$values ('1: first of the high')$$,
  'without arguments: one job, the oldest of the highest priority');
select results_eq(
  $$select payload ->> 'name' from claim_next_job(p_limit => 10)$$,
  $$values ('2: second of the high'), ('3: old'), ('4: young')$$,
  'a batch comes in order across types, without what is not due and what no type has a row for');
select is_empty('select * from claim_next_job(p_limit => 10)', 'an empty queue answers no row');

update job_queue set status = 'pending', lease_expires_at = now() where status = 'processing';
select results_eq(
  $$select payload ->> 'name' from claim_next_job(array['play', 'none'], 10)$$,
  $$values ('1: first of the high'), ('4: young')$$,
  'only the types asked for');

select throws_ok('select claim_next_job(p_limit => 0)', '22023', 'p_limit must be between 1 and 1000, not 0');
select throws_ok('select claim_next_job(p_limit => 1001)', '22023', 'p_limit must be between 1 and 1000, not 1001');
select throws_ok('select claim_next_job(p_lease_seconds => 0)', '22023', 'p_lease_seconds must be between 1 and 86400, not 0');
insert into job_queue (job_type) values ('work');
update job_types set lease_seconds = 7 where job_type = 'work';
select results_eq('select lease_seconds, lease_expires_at from claim_next_job()', $$values (7, now() + interval '7 seconds')$$, 'without p_lease_seconds it is the type''s');

select * from finish();
rollback;
