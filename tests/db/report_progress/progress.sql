begin;
select plan(14);
insert into job_types (job_type) values ('work');
select enqueue_job('work', '{}') as id \gset
select lease_token from claim_next_job() \gset
select is(report_progress(:'id', 10, 1), true, 'a job at work');
select is(report_progress(:'id', 5), true, 'progress that is less is known already');
select results_eq('select progress, status, lease_token::text from job_queue', format('values (10::smallint, %L, %L)', 'processing', :'lease_token'), 'and stays what it was');
select is(report_progress(:'id', 20, 2), false, 'a life that is not the job''s');
select snooze_job(:'id', :'lease_token', 60, '{"a": 1}');
select scheduled_at from job_queue \gset
select is(report_progress(:'id', 0), true, 'a job that waits');
select is(report_progress(:'id', 100, 1), true, 'up to 100');
select results_eq(
  'select progress, status, scheduled_at, lease_token from job_queue', format('values (100::smallint, %L, %L::timestamptz, null::uuid)', 'pending', :'scheduled_at'),
  'nothing else changes');
select is((select count(*) from process_jobs.misplaced_jobs()), 0::bigint, 'and it keeps its place');
update job_queue set scheduled_at = now();
select lease_token from claim_next_job() \gset
select complete_job(:'id', '{}', p_lease_token => :'lease_token');
select is(report_progress(:'id', 100), false, 'a job that has ended');
select is(report_progress(gen_random_uuid(), 1), false, 'a job that is not there');
select is(report_progress(null, 1), false, 'no job');
select throws_ok(format('select report_progress(%L, %s)', :'id', p.progress), '22023', format('p_progress must be between 0 and 100, not %s', p.progress))
from unnest('{-1,101,null}'::text[]) p (progress) where p.progress is not null;
select throws_ok(format('select report_progress(%L, null)', :'id'), '22023', 'p_progress must be between 0 and 100, not null');
select * from finish();
rollback;
