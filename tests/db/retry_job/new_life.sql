begin;
select plan(15);
insert into job_types (job_type) values ('work');
create function pg_temp.job(p_id uuid) returns job_queue language sql as 'select * from job_queue where id = p_id';
create function pg_temp.failed(p_key text) returns uuid language plpgsql as $$
declare
  v_id uuid := enqueue_job('work', '{}', p_max_attempts => 1, p_unique_key => p_key);
begin
  perform complete_job(c.id, p_error => 'x', p_lease_token => c.lease_token) from claim_next_job() c;
  return v_id;
end
$$;

select pg_temp.failed('a') as id \gset
update job_queue set started_at = now() - interval '1 hour', first_started_at = now() - interval '1 hour' where id = :'id';
select is(retry_job(:'id', 2), true, 'a failed job is pending again');
select results_eq(
  format('select status, attempt_number, max_attempts, error_message, completed_at, checkpoint from pg_temp.job(%L)', :'id'),
  $$values ('pending', 1, 3, null, null::timestamptz, null::jsonb)$$, 'with so many attempts more, and nothing of its end');
select is(jsonb_array_length((pg_temp.job(:'id')).errors), 1, 'but with its errors');
select is(retry_job(:'id'), false, 'a pending job is left alone');
select attempt_number, age_seconds, search_from, lease_token from claim_next_job() \gset
select is(:'attempt_number'::int, 2, 'the attempts go on counting');
select is(:'age_seconds'::float8, 0::float8, 'its age begins anew');
select is(:'search_from'::timestamptz, now() - interval '61 minutes', 'what an earlier life did is looked for');
select is(retry_job(:'id'), false, 'one at work is left alone');
select complete_job(:'id', '{}', p_lease_token => :'lease_token');
select is(retry_job(:'id'), false, 'a completed one too');

select enqueue_job('work', '{}') as cancelled \gset
select cancel_job(:'cancelled');
select is(retry_job(:'cancelled'), true, 'a cancelled job too');
select is((pg_temp.job(:'cancelled')).cancel_requested_at, null, 'is wanted again');
delete from job_queue where id = :'cancelled';

select pg_temp.failed('b') as id \gset
select enqueue_job('work', '{}', p_scheduled_at => now() + interval '1 hour', p_unique_key => 'b');
select throws_ok(format('select retry_job(%L)', :'id'), '23505', format('job %s cannot be retried: an unfinished job has the same unique_key', :'id'));
select is((pg_temp.job(:'id')).status, 'failed', 'and stays failed');
select throws_ok('select retry_job(gen_random_uuid(), 0)', '22023', 'p_attempts must be between 1 and 100, not 0');
update job_queue set first_started_at = now() - interval '9 hours' where id = :'id';
delete from job_queue where status = 'pending';
select retry_job(:'id');
select is((select search_from from claim_next_job()), now() - interval '2 hours 1 minute', 'two hours back at most: by then replicate has removed it');

select * from finish();
rollback;
