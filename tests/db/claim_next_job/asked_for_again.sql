-- A claim whose answer was lost is asked for again by its lease token.
begin;
select plan(15);
insert into job_types (job_type) values ('work');
select '00000000-0000-4000-8000-000000000001'::uuid as token \gset
insert into job_queue (job_type, priority, max_attempts) select 'work', n, 1 from generate_series(1, 5) n;

select results_eq(format('select priority, lease_token from claim_next_job(p_limit => 3, p_lease_token => %L)', :'token'),
  format('values (5, %1$L::uuid), (4, %1$L), (3, %1$L)', :'token'), 'a claim has the token that it is given');
select results_eq(
  format('select priority, attempt_number, max_attempts, lease_token from claim_next_job(p_limit => 3, p_lease_token => %L) order by 1 desc', :'token'),
  format('values (5, 1, 1, %1$L::uuid), (4, 1, 1, %1$L), (3, 1, 1, %1$L)', :'token'), 'asked for again it answers the same jobs, in the same attempt');
select results_eq('select count(*), sum(cardinality(jobs)) from process_jobs.leases', 'values (1::bigint, 3::bigint)', 'under one lease');
select is_empty('select * from process_jobs.misplaced_jobs()', 'and each in its place');

update job_queue set lease_expires_at = now() + interval '1 second' where status = 'processing';
select is((select min(lease_seconds) from claim_next_job(p_lease_token => :'token')), 60, 'which begins anew');
select exchange_jobs(
  (select jsonb_build_array(jsonb_build_object('job_id', id, 'lease_token', lease_token, 'outcome', 'completed')) from job_queue where priority = 5),
  p_limit => 3, p_lease_token => :'token') as answer \gset
select results_eq(format($$select (j ->> 'priority')::int from json_array_elements(%L::json -> 'jobs') j order by 1$$, :'answer'), 'values (3), (4)',
  'exchange_jobs does so too, without what was settled meanwhile');
select is((:'answer'::json ->> 'seconds_until_next')::float8, 0::float8, 'and says that there is more');

update job_queue set scheduled_at = now() + interval '1 day', status = 'pending', lease_token = null, lease_expires_at = null where priority = 4;
select results_eq(format('select priority from claim_next_job(p_limit => 3, p_lease_token => %L)', :'token'), 'values (3)',
  'a job that somebody has put back is not among them');
select is((select count(*) from claim_next_job(p_limit => 3, p_lease_token => '00000000-0000-4000-8000-000000000002')), 2::bigint,
  'another token is another claim');
select is((select count(*) from claim_next_job(p_limit => 3, p_lease_token => '00000000-0000-4000-8000-000000000003')), 0::bigint,
  'nothing is left');
insert into job_queue (job_type, priority) values ('work', 9);
select is((select priority from claim_next_job(p_lease_token => '00000000-0000-4000-8000-000000000003')), 9,
  'a claim that got nothing has no lease, and claims');

-- Its lease has expired: it is a lost job's like any other.
update job_queue set lease_expires_at = now() where priority = 9;
select results_eq($$select priority, attempt_number from claim_next_job(p_lease_token => '00000000-0000-4000-8000-000000000003')$$, 'values (9, 2)',
  'a lease that has expired is taken back, and then claimed as another attempt');

-- Starts are counted once.
update job_types set starts_per_minute = 600, start_tokens = 60, start_tokens_at = now() where job_type = 'work';
insert into job_queue (job_type, priority) select 'work', 20 from generate_series(1, 2);
select claim_next_job(p_limit => 2, p_lease_token => '00000000-0000-4000-8000-000000000004');
insert into job_queue (job_type, priority) values ('work', 1);
select is((select count(*) from claim_next_job(p_limit => 2, p_lease_token => '00000000-0000-4000-8000-000000000004')), 2::bigint, 'two began');
select is((select start_tokens from job_types where job_type = 'work'), 58::float8, 'and were counted once');
select is_empty('select * from process_jobs.misplaced_jobs()', 'every job is in its place');
select * from finish();
rollback;
