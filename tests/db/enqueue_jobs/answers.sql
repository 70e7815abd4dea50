begin;
select plan(14);
insert into job_types (job_type) values ('work'), ('play');
create function pg_temp.at_place(p_ids uuid[]) returns setof text language sql as $$
  select concat_ws(' ', j.job_type, j.payload ->> 'n', j.priority, j.max_attempts, j.unique_key)
  from unnest(p_ids) with ordinality i (id, n) left join job_queue j using (id) order by i.n
$$;

select results_eq(
  $$select pg_temp.at_place(enqueue_jobs('[
    {"job_type": "work", "payload": {"n": 1}, "unique_key": "z"}, {"job_type": "play", "payload": {"n": 2}},
    {"job_type": "work", "payload": {"n": 3}, "unique_key": "a", "priority": -5, "max_attempts": 100},
    {"job_type": "play", "payload": {"n": 4}, "priority": 2147483647}, {"job_type": "work", "payload": {"n": 5}}]'))$$,
  array['work 1 0 3 z', 'play 2 0 3', 'work 3 -5 100 a', 'play 4 2147483647 3', 'work 5 0 3'],
  'ids come in the order given, whatever the order of the keys');
select is((select count(*) from job_queue), 5::bigint, 'and each is a job');
select is(enqueue_jobs('[]'), '{}', 'of none there is none');
delete from job_queue;
select enqueue_jobs(jsonb_agg(jsonb_build_object('job_type', 'work', 'payload',
  jsonb_build_object('generation_id', n * 37 % 200, 'n', n)) order by n)) from generate_series(1, 200) n \g /dev/null
select is((select array_agg((c.payload ->> 'n')::int) from claim_next_job(p_limit => 200) c), array(select generate_series(1, 200)),
  'they are claimed in the order given');
delete from job_queue;
insert into job_queue (job_type, payload) select 'work', jsonb_build_object('n', n) from generate_series(1, 200) n;
select is((select array_agg((c.payload ->> 'n')::int) from claim_next_job(p_limit => 200) c), array(select generate_series(1, 200)),
  'and so are those of one insert');

-- As enqueue_job would have made them.
delete from job_queue;
select enqueue_job('work', '{"a": 1}') as first, enqueue_job('work', '{"a": 2}', -5, 7, now() + interval '1 hour', 'one') as second,
  enqueue_job('work', '{"a": 3}', null, null, '2020-01-01 00:00:00+02', null) as third \gset one_
select (enqueue_jobs(format('[{"job_type": "work", "payload": {"a": 1}},
  {"job_type": "work", "payload": {"a": 2}, "priority": -5, "max_attempts": 7, "scheduled_at": %s, "unique_key": "many"},
  {"job_type": "work", "payload": {"a": 3}, "priority": null, "max_attempts": null, "scheduled_at": "2020-01-01T00:00:00+02:00", "unique_key": null}]',
  to_json(now() + interval '1 hour'))::jsonb))::text as ids \gset many_
select results_eq(
  format($$select to_jsonb(j) - '{id,unique_key}'::text[] from unnest(%L::uuid[]) with ordinality i (id, n) join job_queue j using (id) order by n$$, :'many_ids'),
  format($$select to_jsonb(j) - '{id,unique_key}'::text[] from unnest('{%s,%s,%s}'::uuid[]) with ordinality i (id, n) join job_queue j using (id) order by n$$,
    :'one_first', :'one_second', :'one_third'),
  'a row is the same as of enqueue_job, in every column');
select is((select unique_key from job_queue where id = (:'many_ids'::uuid[])[2]), 'many', 'with its key');

set local request.jwt.claims = '{"role": "authenticated", "sub": "user-1"}';
select (enqueue_jobs('[{"job_type": "work", "payload": {}}]'))[1] as id \gset
select is((select created_by from job_queue where id = :'id'), 'user-1', 'created_by is the token''s user');
set local request.jwt.claims = '{"role": "service_role"}';
select (enqueue_jobs('[{"job_type": "work", "payload": {}}]'))[1] as id \gset
select is((select created_by from job_queue where id = :'id'), 'service_role', 'or its role');
set local request.jwt.claims = '';
select (enqueue_jobs('[{"job_type": "work", "payload": {}}]'))[1] as id \gset
select is((select created_by from job_queue where id = :'id'), session_user::text, 'or the session''s user');

-- Generations follow.
select enqueue_jobs((
  select jsonb_agg(jsonb_build_object('job_type', 'generate-image', 'payload', jsonb_build_object('generation_id', 'g-' || n, 'user_id', 'u')))
  from generate_series(1, 3) n)) \g /dev/null
select is((select string_agg(id || ' ' || status, ', ' order by id) from image_generations), 'g-1 queued, g-2 queued, g-3 queued', 'each image job has its generation');

delete from job_queue;
select is(
  (select count(distinct i) from unnest(enqueue_jobs((select jsonb_agg('{"job_type": "work", "payload": {}}'::jsonb) from generate_series(1, 1000)))) i),
  1000::bigint, 'a thousand are taken');
select throws_ok(
  $$select enqueue_jobs((select jsonb_agg('{"job_type": "work", "payload": {}}'::jsonb) from generate_series(1, 1001)))$$,
  '22023', 'p_jobs must hold at most 1000 jobs, not 1001');
select is((select count(*) from job_queue), 1000::bigint, 'and no more');

select * from finish();
rollback;
