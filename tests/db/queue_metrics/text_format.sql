begin;
select plan(4);
delete from job_types;
select is(queue_metrics(), '', 'without job types nothing is told');
insert into job_types (job_type) values ('work'), ('held'), (E'od"d\\\n');
insert into job_queue (job_type, status, scheduled_at, checkpoint, lease_token, lease_expires_at) values
  ('work', 'pending', now() - interval '5.5 seconds', null, null, null),
  ('work', 'pending', now(), null, null, null),
  ('work', 'pending', now() + interval '5 seconds', null, null, null),
  ('held', 'pending', now() - interval '1 day', '{}', null, null),
  ('work', 'processing', now(), null, gen_random_uuid(), now() + interval '1 minute'),
  ('work', 'processing', now(), null, gen_random_uuid(), now() - interval '1 second'),
  ('work', 'completed', now(), null, null, null),
  ('work', 'failed', now(), null, null, null);
update job_types set begun_held_until = now() + interval '1 minute' where job_type = 'held';
select pause_job_type(E'od"d\\\n', 'no credit');
create temp table line as select * from regexp_split_to_table(queue_metrics(), E'\n') with ordinality l (text, n);
select results_eq(
  $$select text from line where text !~ '(^#| 0$|^$)' order by n$$,
  $$values ('process_jobs_jobs{job_type="held",state="scheduled"} 1'),
    ('process_jobs_jobs{job_type="work",state="failed"} 1'),
    ('process_jobs_jobs{job_type="work",state="processing"} 1'),
    ('process_jobs_jobs{job_type="work",state="ready"} 2'),
    ('process_jobs_jobs{job_type="work",state="scheduled"} 1'),
    ('process_jobs_jobs{job_type="work",state="stuck"} 1'),
    ('process_jobs_oldest_ready_seconds{job_type="work"} 5.5'),
    ('process_jobs_paused{job_type="od\"d\\\n"} 1'),
    ('process_jobs_held_seconds{job_type="held"} 60')$$,
  'each family by type and state, labels escaped');
select is((select count(*) from line where text ~ ' 0$'), 15::bigint, 'what there is none of is told as 0');
select is(
  (select string_agg(text, E'\n' order by n) from line where text like '# TYPE%'),
  E'# TYPE process_jobs_jobs gauge\n# TYPE process_jobs_oldest_ready_seconds gauge\n# TYPE process_jobs_paused gauge\n# TYPE process_jobs_held_seconds gauge',
  'each family is typed once');
select * from finish();
rollback;
