begin;
select plan(9);
insert into job_types (job_type) values ('work'), ('play');
insert into job_queue (job_type, status, attempt_number, completed_at, unique_key) values
  ('work', 'failed', 3, now() - interval '3 hours', null), ('work', 'failed', 3, now() - interval '2 hours', 'k'),
  ('work', 'failed', 3, now() - interval '1 hour', 'k'), ('play', 'failed', 3, now(), null),
  ('work', 'completed', 1, now(), null), ('work', 'cancelled', 0, now(), null);

select is(redrive_failed_jobs('play'), 1, 'the failed jobs of a type');
select is(redrive_failed_jobs(p_limit => 1), 1, 'at most so many');
select is((select count(*) from job_queue where status = 'pending' and completed_at is null and job_type = 'work' and unique_key is null), 1::bigint, 'the longest failed first');
select is(redrive_failed_jobs(p_failed_after => now() - interval '30 minutes'), 0, 'only those that failed later');
select is(redrive_failed_jobs(), 1, 'of two with one key the first');
select is(redrive_failed_jobs(), 0, 'the other stays failed');
insert into job_queue (job_type, status, attempt_number, completed_at) values ('play', 'failed', 3, now());
select is(redrive_failed_jobs(p_limit => 1), 1, 'and does not stand in the way of those behind it');
select set_eq('select status, count(*) from job_queue group by status', $$values ('pending', 4::bigint), ('failed', 1), ('completed', 1), ('cancelled', 1)$$, 'nothing else is touched');
select throws_ok('select redrive_failed_jobs(p_limit => 0)', '22023', 'p_limit must be between 1 and 10000, not 0');

select * from finish();
rollback;
