-- Every argument of every function, null and at odd values: taken, or refused as 22023 by a message that names it.
begin;
set local client_min_messages = error;
insert into job_types (job_type) values ('work');
insert into job_queue (job_type) select 'work' from generate_series(1, 3);
create temp table claimed as select * from claim_next_job();
create temp table odd (n int generated always as identity, call text, argument text, refused text, taken text);
-- Values as sql, apart by ' ; '; {id} and {token} are those of a job at work.
insert into odd (call, argument, refused, taken) values
  ('enqueue_job(%s, ''{}'')', 'job type', 'null ; '''' ; ''none''', '''work'''),
  ('enqueue_job(''work'', %s)', 'payload', 'null ; ''null'' ; ''[]'' ; ''1'' ; ''{"a": 1e400}''', '''{}'''),
  ('enqueue_job(''work'', ''{}'', p_priority => %s)', 'p_priority', '', 'null ; 2147483647 ; -2147483648'),
  ('enqueue_job(''work'', ''{}'', p_max_attempts => %s)', 'p_max_attempts', '0 ; -1 ; 101 ; 2147483647 ; -2147483648', 'null ; 1 ; 100'),
  ('enqueue_job(''work'', ''{}'', p_scheduled_at => %s)', 'p_scheduled_at', '''infinity'' ; ''-infinity''', 'null ; ''294276-12-31 23:59:59+00'' ; ''4713-01-01 00:00:00+00 BC'''),
  ('enqueue_job(''work'', ''{}'', p_unique_key => %s)', 'p_unique_key', ''''' ; repeat(''x'', 201)', 'null ; '' '' ; repeat(''ü'', 200)'),
  ('enqueue_jobs(%s)', 'p_jobs', 'null ; ''null'' ; ''{}'' ; ''1''', '''[]'''),
  ('claim_next_job(%s)', 'p_job_types', '', 'null ; ''{}'' ; ''{null}'' ; ''{none}'''),
  ('claim_next_job(''{none}'', %s)', 'p_limit', 'null ; 0 ; -1 ; 1001 ; 2147483647 ; -2147483648', '1 ; 1000'),
  ('claim_next_job(''{none}'', 1, %s)', 'p_lease_seconds', '0 ; -1 ; 86401 ; 2147483647 ; -2147483648', 'null ; 1 ; 86400'),
  ('exchange_jobs(p_limit => %s)', 'p_limit', 'null ; -1 ; 1001 ; 2147483647 ; -2147483648', '0'),
  ('exchange_jobs(%s)', 'p_outcomes', 'null ; ''null'' ; ''{}'' ; ''1''', '''[]'''),
  ('complete_job(%s)', 'p_job_id', '', 'null ; gen_random_uuid()'),
  ('complete_job({id}, p_error => %s, p_lease_token => gen_random_uuid())', 'p_error', '''''', 'null ; ''x'''),
  ('complete_job({id}, p_error => ''x'', p_retry => %s, p_lease_token => gen_random_uuid())', 'p_retry', 'null ; '''' ; ''sometimes''', '''never'''),
  ('complete_job({id}, p_error => ''x'', p_error_kind => %s, p_lease_token => gen_random_uuid())', 'p_error_kind', '', 'null ; '''' ; repeat(''x'', 9999)'),
  ('complete_job({id}, p_follow_ups => %s, p_lease_token => gen_random_uuid())', 'p_follow_ups', '''{}'' ; ''1''', 'null ; ''null'' ; ''[]'''),
  ('snooze_job({id}, gen_random_uuid(), %s)', 'p_delay_seconds', 'null ; -1 ; 2592001 ; 1e300 ; ''infinity'' ; ''-infinity'' ; ''NaN''', '0 ; 2592000 ; 5e-324'),
  ('snooze_job({id}, gen_random_uuid(), 0, p_progress => %s)', 'p_progress', '-1 ; 101 ; 2147483647 ; -2147483648', 'null ; 0 ; 100'),
  ('snooze_job({id}, gen_random_uuid(), 0, p_hold_job_type => %s)', 'p_hold_job_type', '', 'null ; true'),
  ('snooze_job({id}, gen_random_uuid(), 0, p_pause_reason => %s)', 'p_pause_reason', '', 'null'),
  ('snooze_job({id}, %s, 0)', 'p_lease_token', '', 'null'),
  ('heartbeat_job({id}, {token}, %s)', 'p_lease_seconds', '0 ; -1 ; 86401 ; 2147483647 ; -2147483648', 'null ; 1 ; 86400'),
  ('heartbeat_job({id}, {token}, p_progress => %s)', 'p_progress', '-1 ; 101 ; 2147483647 ; -2147483648', 'null ; 0 ; 100'),
  ('heartbeat_job(%s, {token})', 'p_job_id', '', 'null'),
  ('heartbeat_job({id}, %s)', 'p_lease_token', '', 'null'),
  ('wake_job({id}, %s)', 'p_event', 'null ; ''null'' ; ''[]'' ; ''{"a": 1e400}''', '''{}'''),
  ('wake_job({id}, ''{}'', %s)', 'p_life', '', 'null ; 0 ; 2147483647 ; -2147483648'),
  ('wake_job(%s, ''{}'')', 'p_job_id', '', 'null'),
  ('cancel_job(%s)', 'p_job_id', '', 'null ; gen_random_uuid()'),
  ('cancel_job({id}, %s)', 'p_lease_token', '', 'gen_random_uuid()'),
  ('retry_job(%s)', 'p_job_id', '', 'null ; gen_random_uuid()'),
  ('retry_job({id}, %s)', 'p_attempts', 'null ; 0 ; -1 ; 101 ; 2147483647 ; -2147483648', '1 ; 100'),
  ('redrive_failed_jobs(p_attempts => %s)', 'p_attempts', 'null ; 0 ; -1 ; 101 ; 2147483647 ; -2147483648', '1 ; 100'),
  ('redrive_failed_jobs(p_limit => %s)', 'p_limit', 'null ; 0 ; -1 ; 10001 ; 2147483647 ; -2147483648', '1 ; 10000'),
  ('redrive_failed_jobs(%s)', 'p_job_type', '', 'null ; '''' ; ''none'''),
  ('redrive_failed_jobs(p_failed_after => %s)', 'p_failed_after', '', 'null ; ''infinity'' ; ''-infinity'''),
  ('prune_jobs(%s)', 'p_ended_before', 'null ; ''infinity'' ; ''294276-12-31'' ; now()', '''-infinity'' ; ''4713-01-01 BC'''),
  ('prune_jobs(''-infinity'', %s)', 'p_limit', 'null ; 0 ; -1 ; 1000001 ; 2147483647 ; -2147483648', '1 ; 1000000'),
  ('seconds_until_next_job(%s)', 'p_job_types', '', 'null ; ''{}'' ; ''{null}'' ; ''{none}'''),
  ('pause_job_type(''work'', %s)', 'p_reason', 'null ; ''''', ''' '' ; repeat(''x'', 9999)'),
  ('pause_job_type(%s, ''x'')', 'job type', 'null ; '''' ; ''none''', '''work'''),
  ('resume_job_type(%s)', 'job type', 'null ; '''' ; ''none''', '''work'''),
  ('keep_model_schema(%s, ''{}'')', 'p_model', 'null ; '''' ; repeat(''x'', 301)', ''' '' ; repeat(''ü'', 300)'),
  ('keep_model_schema(%s)', 'p_model', '', 'null ; '''' ; repeat(''x'', 301)'),
  ('keep_model_schema(''a/b'', %s)', 'p_schema', '''null'' ; ''[]'' ; ''1''', 'null ; ''{}'''),
  ('keep_model_schema(''a/b'', p_any_age => %s)', 'p_any_age', '', 'null ; true'),
  ('schedule_process_jobs(%s, ''k'')', 'p_function_url', 'null ; '''' ; ''x'' ; ''ftp://x'' ; ''https://'' ; ''https:///f'' ; E''https://x/f\n'' ; ''https://x/a b''', ''),
  ('schedule_process_jobs(''https://x/f'', %s)', 'p_secret_key', ''''' ; '' '' ; E''k\n''', ''),
  ('schedule_process_jobs(''https://x/f'', ''k'', %s)', 'p_schedule', 'null ; '''' ; ''* * * * * *'' ; ''0 seconds'' ; ''60 seconds'' ; ''99999 seconds'' ; ''-1 seconds''', ''),
  ('schedule_process_jobs(''https://x/f'', ''k'', p_timeout_milliseconds => %s)', 'p_timeout_milliseconds', 'null ; 0 ; -1 ; 60001 ; 2147483647 ; -2147483648', '');

create function pg_temp.came_to(p_call text) returns text language plpgsql as $$
begin
  begin
    execute 'select * from ' || p_call;
    raise exception using errcode = 'ZZ000', message = 'taken';
  exception
    when sqlstate 'ZZ000' then
      return 'taken';
    when others then
      return sqlstate || ' ' || sqlerrm;
  end;
end
$$;
create temp table came_to as
select o.n, o.argument, o.refused, replace(replace(format(o.call, o.value), '{id}', quote_literal(c.id)), '{token}', quote_literal(c.lease_token)) as call
from (
  select n, call, argument, true as refused, regexp_split_to_table(nullif(refused, ''), ' ; ') as value from odd
  union all select n, call, argument, false, regexp_split_to_table(nullif(taken, ''), ' ; ') from odd
) o cross join claimed c;
select plan(count(*)::int) from came_to;
select case
    when refused then matches(pg_temp.came_to(call), '^22023 .*' || argument, call)
    else is(pg_temp.came_to(call), 'taken', call)
  end
from came_to order by n;
select * from finish();
rollback;
