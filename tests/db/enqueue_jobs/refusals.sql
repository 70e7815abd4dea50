-- What is refused names the element and its key, and nothing at all is enqueued.
begin;
insert into job_types (job_type) values ('work');
create temp table refused (n int generated always as identity, job jsonb, message text);
insert into refused (job, message) values
  ('1', ' must be a json object, not number'), ('null', ' must be a json object, not null'), ('[]', ' must be a json object, not array'),
  ('{"job_type": "work", "payload": {}, "prio": 1}', ' has an unknown key "prio"'),
  ('{"job_type": "work", "payload": {}, "waiting_since": null}', ' has an unknown key "waiting_since"'),
  ('{"payload": {}}', '.job_type must be a string, not null'),
  ('{"job_type": 5, "payload": {}}', '.job_type must be a string, not number'),
  ('{"job_type": "wrok", "payload": {}}', '.job_type: unknown job type "wrok": job_types has no row for it'),
  ('{"job_type": "work"}', '.payload must be a json object, not null'),
  ('{"job_type": "work", "payload": null}', '.payload must be a json object, not null'),
  ('{"job_type": "work", "payload": "{}"}', '.payload must be a json object, not string'),
  ('{"job_type": "work", "payload": {"a": -1e308}}', '.payload must have no number of 1e308 or more'),
  (jsonb_build_object('job_type', 'work', 'payload', jsonb_build_object('a', repeat('a', 1048568))), '.payload must have at most 1048576 bytes, not 1048577'),
  ('{"job_type": "work", "payload": {}, "priority": "5"}', '.priority must be an integer between -2147483648 and 2147483647, not 5'),
  ('{"job_type": "work", "payload": {}, "priority": 1.5}', '.priority must be an integer between -2147483648 and 2147483647, not 1.5'),
  ('{"job_type": "work", "payload": {}, "priority": 2147483648}', '.priority must be an integer between -2147483648 and 2147483647, not 2147483648'),
  ('{"job_type": "work", "payload": {}, "priority": -2147483649}', '.priority must be an integer between -2147483648 and 2147483647, not -2147483649'),
  ('{"job_type": "work", "payload": {}, "priority": true}', '.priority must be an integer between -2147483648 and 2147483647, not true'),
  ('{"job_type": "work", "payload": {}, "priority": [1]}', '.priority must be an integer between -2147483648 and 2147483647, not [1]'),
  ('{"job_type": "work", "payload": {}, "max_attempts": 0}', '.max_attempts must be an integer between 1 and 100, not 0'),
  ('{"job_type": "work", "payload": {}, "max_attempts": 101}', '.max_attempts must be an integer between 1 and 100, not 101'),
  ('{"job_type": "work", "payload": {}, "max_attempts": 1.5}', '.max_attempts must be an integer between 1 and 100, not 1.5'),
  ('{"job_type": "work", "payload": {}, "max_attempts": "3"}', '.max_attempts must be an integer between 1 and 100, not 3'),
  ('{"job_type": "work", "payload": {}, "unique_key": 7}', '.unique_key must be a string, not number'),
  ('{"job_type": "work", "payload": {}, "unique_key": ""}', '.unique_key must have between 1 and 200 characters, not 0'),
  (jsonb_build_object('job_type', 'work', 'payload', '{}'::jsonb, 'unique_key', repeat('k', 201)), '.unique_key must have between 1 and 200 characters, not 201'),
  ('{"job_type": "work", "payload": {}, "scheduled_at": 1767225600}', '.scheduled_at must be a string, not number'),
  ('{"job_type": "work", "payload": {}, "scheduled_at": "soon"}', '.scheduled_at must be a time, not "soon"'),
  ('{"job_type": "work", "payload": {}, "scheduled_at": "2026-02-30"}', '.scheduled_at must be a time, not "2026-02-30"'),
  ('{"job_type": "work", "payload": {}, "scheduled_at": "2026-01-01 00:00 Nowhere/Such"}', '.scheduled_at must be a time, not "2026-01-01 00:00 Nowhere/Such"'),
  ('{"job_type": "work", "payload": {}, "scheduled_at": ""}', '.scheduled_at must be a time, not ""'),
  ('{"job_type": "work", "payload": {}, "scheduled_at": "infinity"}', '.scheduled_at must be finite, not infinity'),
  ('{"job_type": "work", "payload": {}, "scheduled_at": "-infinity"}', '.scheduled_at must be finite, not -infinity');
create temp table taken (job jsonb);
insert into taken values
  (jsonb_build_object('job_type', 'work', 'payload', jsonb_build_object('a', repeat('a', 1048567)))),
  ('{"job_type": "work", "payload": {}, "priority": -2147483648, "max_attempts": 1, "unique_key": " "}'),
  ('{"job_type": "work", "payload": {}, "scheduled_at": "294276-12-31 23:59:59+00"}'),
  (jsonb_build_object('job_type', 'work', 'payload', '{}'::jsonb, 'unique_key', repeat('ü', 200))),
  ('{"job_type": "work", "payload": {}, "priority": null, "max_attempts": null, "scheduled_at": null, "unique_key": null}');
select plan(count(*)::int + 7) from refused;

select throws_ok(
  format('select enqueue_jobs(jsonb_build_array(%L::jsonb, (select job from refused where n = %s), %1$L::jsonb))', '{"job_type": "work", "payload": {}}', r.n),
  '22023', 'p_jobs[1]' || r.message)
from refused r order by r.n;
select throws_ok('select enqueue_jobs((select jsonb_agg(job order by n) from refused where n > 5))', '22023', 'p_jobs[0].job_type must be a string, not null', 'of several the first is named');
select is((select count(*) from job_queue), 0::bigint, 'nothing was enqueued');

select throws_ok($$select enqueue_jobs(null)$$, '22023', 'p_jobs must be a json array, not null');
select throws_ok($$select enqueue_jobs('{}')$$, '22023', 'p_jobs must be a json array, not object');
select lives_ok('select enqueue_jobs((select jsonb_agg(job) from taken))', 'what is within the bounds is taken');

-- What a trigger refuses, or takes none of, undoes all.
delete from job_queue;
create function pg_temp.gate() returns trigger language plpgsql as $$ begin return case when new.payload ? 'lost' then null else new end; end $$;
create trigger gate before insert on job_queue for each row execute function pg_temp.gate();
select throws_ok(
  $$select enqueue_jobs('[{"job_type": "work", "payload": {}}, {"job_type": "work", "payload": {"lost": true}}]')$$, '22023', 'a trigger of job_queue has taken no job');
select is((select count(*) from job_queue), 0::bigint, 'all or none');

select * from finish();
rollback;
