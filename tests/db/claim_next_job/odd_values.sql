-- Numbers and times that nobody can reckon with stop nothing.
begin;
select plan(12);
insert into job_types (job_type) values ('work');
select throws_ok('select claim_next_job(p_limit => 2147483647)', '22023', 'p_limit must be between 1 and 1000, not 2147483647');
select throws_ok('select exchange_jobs(p_limit => 2147483647)', '22023', 'p_limit must be between 0 and 1000, not 2147483647');
select throws_ok(
  format('insert into job_queue (job_type, %I) values (''work'', %L)', c.name, v.value), '23514', null, c.name || ' ' || v.value)
from unnest(array['created_at', 'started_at', 'first_started_at', 'lease_expires_at']) c (name),
  unnest(array['infinity', '-infinity']) v (value);

-- Attempts go on counting with each retry; twice as long as before is a number all the same.
insert into job_queue (job_type, attempt_number, max_attempts) values ('work', 2000, 5000), ('work', 2147483647, 2147483647), ('work', 0, 3);
create temp table claimed as select * from claim_next_job(p_limit => 10);
select results_eq('select attempt_number from claimed order by 1', 'values (1), (2001)', 'what can be counted on is claimed');
select complete_job(id, p_error => 'again', p_lease_token => lease_token) from claimed where attempt_number = 2001;
select is((select round(extract(epoch from scheduled_at - now()) / 600) from job_queue where attempt_number = 2001), 1::numeric, 'and waits as long as any');
select * from finish();
rollback;
