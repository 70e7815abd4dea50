-- A cron job of the app's own under the name of ours: replaced by a schedule, given back in the end, else left alone.
begin;
select count(*) = 1 as has_pg_cron from pg_extension where extname = 'pg_cron' \gset
\if :has_pg_cron
select plan(5);
select cron.schedule('process-jobs-worker', '* * * * *', 'select 1');
select is(unschedule_process_jobs(), false, 'it is not ours to take away');
select is((select command from cron.job where jobname = 'process-jobs-worker'), 'select 1', 'and is left');
select schedule_process_jobs('https://project.example/functions/v1/process-jobs', 'the secret key');
select schedule_process_jobs('https://project.example/functions/v1/process-jobs');
select matches((select command from cron.job where jobname = 'process-jobs-worker'), '^select process_jobs.tick', 'a schedule replaces it');
select is((select count(*) from process_jobs.undo where statement like '%process-jobs-worker%'), 1::bigint, 'it is kept once');
select process_jobs.uninstall();
select is((select schedule || ' ' || command from cron.job where jobname = 'process-jobs-worker'), '* * * * * select 1', 'and comes back');
\else
select plan(1);
select skip('there is no pg_cron in this database', 1);
\endif
select * from finish();
rollback;
