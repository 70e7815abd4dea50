begin;
select plan(22);
create function pg_temp.refused(p_schedule text) returns setof text language sql as $$
  select throws_ok(
    format('select schedule_process_jobs(''https://project.example/f'', ''k'', %L)', p_schedule), '22023',
    format('p_schedule must have five cron fields or be ''N seconds'' with N from 1 to 59, not %s', coalesce(quote_literal(p_schedule), 'null')))
$$;
select pg_temp.refused('* * * * * *');
select pg_temp.refused('* * * *');
select pg_temp.refused('0 seconds');
select pg_temp.refused('60 seconds');
select pg_temp.refused('');
select pg_temp.refused(null);
select throws_ok($$select schedule_process_jobs('ftp://x')$$, '22023', 'p_function_url must be an http or https url, not ''ftp://x''');
select throws_ok($$select schedule_process_jobs(null)$$, '22023', 'p_function_url must be an http or https url, not null');
select throws_ok($$select schedule_process_jobs('https://<project>.supabase.co/functions/v1/process-jobs', 'k')$$, '22023',
  'p_function_url still has a placeholder: ''https://<project>.supabase.co/functions/v1/process-jobs''');
select throws_ok(format('select schedule_process_jobs(''https://x/f'', %L)', key), '22023', 'p_secret_key is still a placeholder: give a secret or service-role key')
from unnest(array['<secret key>', 'sb_secret_…']) key;
select throws_ok($$select schedule_process_jobs('https://x/f', '')$$, '22023', 'p_secret_key must not be empty');
select throws_ok(format('select schedule_process_jobs(''https://x/f'', %L)', key), '22023', 'p_secret_key must have no line ends, blanks around it or other characters that a header cannot carry')
from unnest(array[' ', E'sb_secret_x\n', E'x\r\nx-other: y', ' k', 'schlüssel']) key;
select throws_ok($$select schedule_process_jobs('https://x/f', 'k', p_timeout_milliseconds => null)$$, '22023', 'p_timeout_milliseconds must be between 1 and 60000, not null');
select throws_ok($$select schedule_process_jobs('https://x/f', 'k', p_timeout_milliseconds => 0)$$, '22023', 'p_timeout_milliseconds must be between 1 and 60000, not 0');

-- Without its extensions it says which one is missing, and nothing else fails.
set local client_min_messages = error;
drop schema net cascade;
select throws_like($$select schedule_process_jobs('https://x/f', 'k')$$, 'pg_% is not installed in this database: create extension pg_%, or call the function by other means', 'a missing pg_net is named');
drop extension if exists pg_cron;
select throws_ok($$select schedule_process_jobs('https://x/f', 'k')$$, '55000', 'pg_cron is not installed in this database: create extension pg_cron, or call the function by other means', 'so is a missing pg_cron');
select is(unschedule_process_jobs(), false, 'there is nothing to unschedule');

select * from finish();
rollback;
