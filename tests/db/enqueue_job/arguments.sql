begin;
select plan(19);
insert into job_types (job_type) values ('work');

select enqueue_job('work', '{"a": 1}') as id \gset
select results_eq(
  $$select job_type, payload, status, priority, attempt_number, max_attempts, scheduled_at, unique_key, errors from job_queue$$,
  $$values ('work', '{"a": 1}'::jsonb, 'pending', 0, 0, 3, now(), null::text, '[]'::jsonb)$$,
  'two arguments are enough');
select is((select id from job_queue), :'id'::uuid, 'the job''s id is answered');
select enqueue_job('work', '{}', -5, 7, now() + interval '1 hour', 'k') as id \gset
select results_eq(
  format('select priority, max_attempts, scheduled_at, unique_key from job_queue where id = %L', :'id'),
  $$values (-5, 7, now() + interval '1 hour', 'k')$$,
  'every argument is kept');
select lives_ok($$select enqueue_job('work', '{}', null, null, null, null)$$, 'nulls mean the defaults');

select throws_ok($$select enqueue_job('wrok', '{}')$$, '22023', 'unknown job type "wrok": job_types has no row for it');
select throws_ok($$select enqueue_job(null, '{}')$$, '22023');
select throws_ok($$select enqueue_job('work', '[]')$$, '22023', 'payload must be a json object, not array');
select throws_ok($$select enqueue_job('work', null)$$, '22023', 'payload must be a json object, not null');
select throws_ok($$select enqueue_job('work', '{}', p_max_attempts => 0)$$, '22023', 'p_max_attempts must be between 1 and 100, not 0');
select throws_ok($$select enqueue_job('work', '{}', p_max_attempts => 101)$$, '22023', 'p_max_attempts must be between 1 and 100, not 101');
select throws_ok($$select enqueue_job('work', '{}', p_unique_key => '')$$, '22023', 'p_unique_key must have between 1 and 200 characters, not 0');
select throws_ok($$select enqueue_job('work', '{}', p_unique_key => repeat('k', 201))$$, '22023', 'p_unique_key must have between 1 and 200 characters, not 201');
select throws_ok($$select enqueue_job('work', jsonb_build_object('a', repeat('a', 1048576)))$$, '22023', 'payload must have at most 1048576 bytes, not 1048585');
select throws_ok($$select enqueue_job('work', (repeat('{"a":', 101) || '[]' || repeat('}', 101))::jsonb)$$, '22023', 'payload must be at most 100 levels deep');
select throws_ok($$select enqueue_job('work', '{"a": [{"b": -1e308}]}')$$, '22023', 'payload must have no number of 1e308 or more');
select throws_ok($$select enqueue_job('work', '{}', p_scheduled_at => 'infinity')$$, '22023', 'p_scheduled_at must be finite, not infinity');
select throws_ok($$select enqueue_job('work', '{}', p_scheduled_at => '-infinity')$$, '22023', 'p_scheduled_at must be finite, not -infinity');
select lives_ok($$select enqueue_job('work', (repeat('{"a":', 100) || '1e300' || repeat('}', 100))::jsonb)$$, 'what a worker can read is taken');

select throws_ok($$insert into job_queue (job_type, payload) values ('work', '[]')$$, '22023', 'payload must be a json object, not array', 'a direct insert is checked too');

select * from finish();
rollback;
