begin;
select plan(2);
insert into user_limits (applies_to) values ('all');
set local request.jwt.claims = '{"role": "authenticated", "sub": "user-1"}';
select request_generation(p, 'a/b') from unnest('{old,young,running}'::text[]) p;
update job_queue set status = 'completed', completed_at = now() - interval '30 hours' where payload ->> 'prompt' = 'old';
update job_queue set status = 'completed', completed_at = now() - interval '3 hours' where payload ->> 'prompt' = 'young';
update process_jobs.requests set created_at = now() - interval '40 hours'
where generation_id in (select payload ->> 'generation_id' from job_queue where payload ->> 'prompt' in ('old', 'running'));
select is(prune_jobs(now() - interval '2 hours'), 2, 'jobs that have ended');
select results_eq($$select coalesce(j.payload ->> 'prompt', 'none') from process_jobs.requests r left join job_queue j on j.payload ->> 'generation_id' = r.generation_id order by 1$$,
  array['none', 'running'], 'requests without jobs, but for those that count for the day');
select * from finish();
rollback;
