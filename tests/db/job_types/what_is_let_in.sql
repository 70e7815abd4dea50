-- Whatever the constraints of job_types let in, at its very bounds: claims, settles and looks go on, of every type.
begin;
select plan(41);
insert into job_types (job_type) values ('work'), ('other');
-- Each of its columns, at the bound, or a value beyond it that must be refused.
create temp table odd (n int generated always as identity, sets text);
insert into odd (sets) values
  ('starts_per_minute = 1000000'), ('starts_per_minute = 0.00001'), ('starts_per_minute = 1e-300'), ('starts_per_minute = 5e-324'),
  ('starts_per_minute = 1e300'), ('starts_per_minute = ''infinity'''), ('starts_per_minute = ''NaN'''), ('starts_per_minute = 0'), ('starts_per_minute = -1'),
  ('starts_per_minute = 0.00001, start_tokens = -1000000, start_tokens_at = now()'),
  ('starts_per_minute = 1000000, start_tokens = 1000000, start_tokens_at = now()'),
  ('starts_per_minute = 60, start_tokens = 0, start_tokens_at = ''294276-12-31'''),
  ('starts_per_minute = 1000000, start_tokens = 0, start_tokens_at = ''294276-12-31'''),
  ('starts_per_minute = 0.00001, start_tokens = -1000000, start_tokens_at = ''294276-12-31'''),
  ('starts_per_minute = 1000000, start_tokens = 0, start_tokens_at = ''4713-01-01 BC'''),
  ('starts_per_minute = 60, start_tokens = null, start_tokens_at = now()'), ('starts_per_minute = 60, start_tokens = 1, start_tokens_at = null'),
  ('starts_per_minute = 60, start_tokens = 1e300, start_tokens_at = now()'), ('starts_per_minute = 60, start_tokens = 1e-320, start_tokens_at = now()'),
  ('starts_per_minute = 60, start_tokens = ''NaN'''), ('starts_per_minute = 60, start_tokens_at = ''infinity'''),
  ('held_until = ''294276-12-31'''), ('held_until = ''4713-01-01 BC'''), ('held_until = ''infinity'''), ('held_until = ''-infinity'''),
  ('begun_held_until = ''294276-12-31'''), ('begun_held_until = ''4713-01-01 BC'''), ('begun_held_until = ''infinity'''),
  ('paused_at = ''294276-12-31'', paused_reason = ''x'''), ('paused_at = ''4713-01-01 BC'', paused_reason = ''x'''), ('paused_at = ''-infinity'', paused_reason = ''x'''),
  ('backoff_base_seconds = 5e-324'), ('backoff_base_seconds = 2592000, backoff_max_seconds = 2592000'), ('backoff_max_seconds = 1e300'),
  ('backoff_base_seconds = ''infinity'', backoff_max_seconds = ''infinity'''), ('backoff_base_seconds = ''NaN'', backoff_max_seconds = ''NaN'''),
  ('lease_seconds = 86400'), ('lease_seconds = 1'), ('lease_seconds = 2147483647'),
  ('backoff_base_seconds = 0'), ('lease_seconds = 0');

create function pg_temp.goes_on(p_sets text) returns text language plpgsql as $$
declare
  v_job record;
  v_other int := 0;
begin
  delete from job_queue;
  insert into job_queue (job_type, checkpoint) values ('work', null), ('work', null), ('work', '{}'), ('work', null), ('other', null), ('other', null);
  begin
    execute 'update job_types set ' || p_sets || ' where job_type = ''work''';
  exception
    when check_violation then
      return 'goes on';
  end;
  perform seconds_until_next_job(), queue_stats(), queue_metrics();
  for v_job in select * from claim_next_job(p_limit => 3) loop
    perform complete_job(v_job.id, p_error => 'again', p_lease_token => v_job.lease_token);
  end loop;
  perform exchange_jobs(p_limit => 5), seconds_until_next_job(), queue_stats(), queue_metrics();
  perform snooze_job(j.id, j.lease_token, 2592000, p_hold_job_type => true, p_pause_reason => 'x') from job_queue j where status = 'processing' and job_type = 'work';
  perform exchange_jobs(p_limit => 5), seconds_until_next_job(), queue_stats(), queue_metrics(), resume_job_type('work');
  update job_queue set lease_expires_at = now() where status = 'processing';
  perform exchange_jobs(p_limit => 5), seconds_until_next_job();
  select count(*) into v_other from job_queue where job_type = 'other' and attempt_number > 0;
  return case when v_other = 2 then 'goes on' else format('%s jobs of the other type were claimed', v_other) end;
exception
  when others then
    return sqlstate || ' ' || sqlerrm;
end
$$;
create function pg_temp.each() returns setof text language plpgsql as $$
declare
  v_sets text;
  v_came_to text;
begin
  for v_sets in select sets from odd order by n loop
    begin
      v_came_to := pg_temp.goes_on(v_sets);
      raise exception 'undo';
    exception
      when others then
        return next is(v_came_to, 'goes on', v_sets);
    end;
  end loop;
end
$$;
select pg_temp.each();
select * from finish();
rollback;
