-- With the real pg_cron, in the one database of the cluster that has it.
begin;
select count(*) = 1 as has_pg_cron from pg_extension where extname = 'pg_cron' \gset
\if :has_pg_cron
select plan(14);
\set url 'https://project.example/functions/v1/process-jobs'

select throws_ok(
  $$select schedule_process_jobs('https://project.example/functions/v1/process-jobs')$$,
  '55000', 'no key is stored yet: give p_secret_key, a secret or service-role key');
select schedule_process_jobs(:'url', 'the secret key') as cron_job_id \gset
select results_eq(
  $$select schedule, command, active from cron.job where jobname = 'process-jobs-worker'$$,
  $$values ('* * * * *', 'select process_jobs.tick(''https://project.example/functions/v1/process-jobs'', 5000)', true)$$,
  'one cron job calls every minute, and its text has no key');
select is((select secret_key from process_jobs.secret), 'the secret key', 'without Vault the key is in a table of its own');
select is(schedule_process_jobs(:'url', null, ' */5 * * * * ', 2000), :cron_job_id::bigint, 'a second call replaces the first');
select results_eq(
  $$select schedule, command from cron.job where jobname = 'process-jobs-worker'$$,
  $$values ('*/5 * * * *', 'select process_jobs.tick(''https://project.example/functions/v1/process-jobs'', 2000)')$$,
  'with its schedule and time-out, and the key stored before');
select schedule_process_jobs(:'url', 'a newer key');
select is((select secret_key from process_jobs.secret), 'a newer key', 'a newer key replaces the older');

-- Debian's pg_cron is 1.4; seconds came with 1.5.
select extversion >= '1.5' as takes_seconds from pg_extension where extname = 'pg_cron' \gset
\if :takes_seconds
select lives_ok($$select schedule_process_jobs('https://project.example/f', null, '30 seconds')$$, 'pg_cron from 1.5 on takes seconds');
\else
select throws_like($$select schedule_process_jobs('https://project.example/f', null, '30 seconds')$$, 'pg_cron 1.% takes no seconds, 1.5 and later do: %', 'pg_cron before 1.5 takes no seconds');
\endif

-- What is kept of the runs: ours for a week, others' as long as others say.
select is((select command from cron.job where jobname = 'process-jobs-prune-runs' and schedule = '17 3 * * *'),
  'select process_jobs.prune_runs()', 'a second cron job prunes the runs each night, whatever the schedule of the first');
insert into cron.job_run_details (jobid, runid, database, username, command, status, start_time)
select run.jobid, -run.n, coalesce(run.database, current_database()), coalesce(run.username, current_user), run.command, 'succeeded', now() - run.age
from (values
  (:cron_job_id::bigint, 9, null, null, 'select process_jobs.tick(''https://x/f'', 5000)', interval '8 days'),
  (:cron_job_id::bigint, 8, null, null, 'select process_jobs.tick(''https://x/f'', 5000)', null),
  (-5::bigint, 7, null, null, 'select process_jobs.tick(''https://scheduled.before/f'', 5000)', interval '9 days'),
  (:cron_job_id::bigint, 6, null, null, 'select process_jobs.prune_runs()', interval '8 days'),
  (-6::bigint, 5, null, null, 'select of_the_app()', interval '99 days'),
  (-7::bigint, 4, null, 'somebody', 'select process_jobs.tick(''https://x/f'', 5000)', interval '99 days'),
  (-8::bigint, 3, 'elsewhere', null, 'select process_jobs.tick(''https://x/f'', 5000)', interval '99 days'),
  (:cron_job_id::bigint, 2, null, null, 'select process_jobs.tick(''https://x/f'', 5000)', interval '6 days'),
  (:cron_job_id::bigint, 1, null, null, 'select process_jobs.tick(''https://x/f'', 5000)', null)
) run (jobid, n, database, username, command, age);
select is(process_jobs.prune_runs(), 4, 'ours of more than a week ago go, of before a new schedule too');
select set_eq('select -runid from cron.job_run_details where runid < 0', 'values (5::bigint), (4), (3), (2), (1)', 'and no others');
select is(process_jobs.prune_runs(), 0, 'once');

select is(unschedule_process_jobs(), true, 'unschedule_process_jobs removes it');
select is(unschedule_process_jobs(), false, 'once');
select is_empty($$select jobname from cron.job where jobname like 'process-jobs-%'$$, 'and the other with it');
select * from finish();
\else
select plan(1);
select skip('pg_cron is not in this database', 1);
\endif
rollback;
