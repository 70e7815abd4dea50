begin;
select plan(12);
insert into job_types (job_type) values ('work'), ('play');
create function pg_temp.jobs(variadic p_keys text[]) returns jsonb language sql as $$
  select jsonb_agg(jsonb_build_object('job_type', split_part(k, ':', 1), 'payload', jsonb_build_object('place', n), 'unique_key', nullif(split_part(k, ':', 2), '')) order by n)
  from unnest(p_keys) with ordinality u (k, n)
$$;

select enqueue_job('work', '{}', p_unique_key => 'there') as there \gset
create temp table answer as
select i.id, i.n from unnest(enqueue_jobs(pg_temp.jobs('work:b', 'work:there', 'work:a', 'play:there', 'work:b', 'work:', 'work:', 'work:there'))) with ordinality i (id, n);
select is((select array_agg(n order by n) from answer where id = :'there'), '{2,8}', 'where an unfinished job has the key, its id is answered');
select is((select payload from job_queue where id = :'there'), '{}'::jsonb, 'and it stays as it is');
select is((select array_agg(n order by n) from answer a where id = (select id from answer where n = 1)), '{1,5}', 'where an earlier element has the key, that one''s id');
select is((select payload ->> 'place' from job_queue where id = (select id from answer where n = 5)), '1', 'and that one''s payload');
select is((select count(distinct id) from answer), 6::bigint, 'another type''s key is another key, and none is none');
select is((select count(*) from job_queue), 6::bigint, 'nothing else was enqueued');

select is(enqueue_jobs(pg_temp.jobs('work:a', 'work:b', 'work:there')), (select array_agg(id order by n = 2, n = 1, n) from answer where n in (1, 2, 3)), 'a second call enqueues nothing');
select from claim_next_job('{work}', 10) \g /dev/null
select is((select string_agg(unique_key, ' ' order by unique_key) from job_queue where status = 'processing'), 'a b there', 'all of a type are at work');
select is(enqueue_jobs(pg_temp.jobs('work:a', 'work:b', 'work:there')), (select array_agg(id order by n = 2, n = 1, n) from answer where n in (1, 2, 3)), 'while processing too');
select is((select count(*) from job_queue), 6::bigint, 'nothing was enqueued');
update job_queue set status = 'completed', lease_token = null where unique_key is not null;
select is((select count(*) from unnest(enqueue_jobs(pg_temp.jobs('work:a', 'work:b', 'work:there', 'play:there'))) i where i in (select id from answer)), 0::bigint, 'once they have ended, the keys are free');
select is((select count(*) from job_queue), 10::bigint, 'and have new jobs');

select * from finish();
rollback;
