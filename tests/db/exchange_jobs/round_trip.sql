-- Outcomes in, jobs out.
begin;
select plan(14);
insert into job_types (job_type) values ('work');
insert into job_queue (id, job_type, created_at)
select ('00000000-0000-4000-8000-00000000000' || n)::uuid, 'work', now() + n * interval '1 ms' from generate_series(1, 7) n;
create temp view claimed as select row_number() over (order by created_at) as n, id, lease_token from job_queue where status = 'processing';
create function pg_temp.outcome(p_n int, p_more jsonb) returns jsonb language sql as
$$ select jsonb_build_object('job_id', id, 'lease_token', lease_token) || p_more from claimed where n = p_n $$;

select is(exchange_jobs()::jsonb, '{"settled": [], "jobs": [], "seconds_until_next": null}', 'nothing in, nothing out');
select exchange_jobs(p_job_types => array['work'], p_limit => 5) as answer \gset
select is(jsonb_array_length(:'answer'::jsonb -> 'jobs'), 5, 'jobs are claimed');
select is(
  (:'answer'::jsonb #>> '{jobs,0,id}', :'answer'::jsonb #> '{jobs,0,age_seconds}', :'answer'::jsonb -> 'seconds_until_next')::text,
  '(00000000-0000-4000-8000-000000000001,0,null)', 'in their order, and as claim_next_job gives them');

select jsonb_build_array(
  pg_temp.outcome(1, '{"outcome": "completed", "result": {"a": 1}, "follow_ups": [{"job_type": "work", "payload": {"next": true}}]}'),
  pg_temp.outcome(2, '{"outcome": "failed", "error": "no", "error_kind": "bad", "retry": "never"}'),
  pg_temp.outcome(3, '{"outcome": "snoozed", "delay_seconds": 60, "checkpoint": {"at": 3}, "progress": 30}'),
  pg_temp.outcome(4, '{"outcome": "completed"}') || '{"lease_token": "00000000-0000-4000-8000-000000000000"}',
  pg_temp.outcome(5, '{"outcome": "snoozed", "delay_seconds": -1}')
) as outcomes \gset
select exchange_jobs(:'outcomes', array['work'], 10) as answer \gset
select is(
  :'answer'::jsonb -> 'settled',
  '[true, true, true, false, "p_delay_seconds must be between 0 and 2592000, not -1"]',
  'each outcome has its answer, and one that is refused hinders no other');
select results_eq(
  'select status, result, error_message, checkpoint, progress::int from job_queue where id <= ''00000000-0000-4000-8000-000000000005'' order by id',
  $$values ('completed', '{"a": 1}'::jsonb, null::text, null::jsonb, 100), ('failed', null, 'no', null, null),
    ('pending', null, null, '{"at": 3}', 30), ('processing', null, null, null, null), ('processing', null, null, null, null)$$,
  'and its effect');
select is((select errors #>> '{0,kind}' from job_queue where status = 'failed'), 'bad', 'with the kind of its error');
select is(jsonb_array_length(:'answer'::jsonb -> 'jobs'), 3, 'the follow-up is claimed in the same call');
select cmp_ok((:'answer'::jsonb ->> 'seconds_until_next')::float8, '=', 60::float8, 'fewer than asked for: when to ask again');

select is(exchange_jobs(jsonb_build_array(pg_temp.outcome(1, '{"outcome": "cancelled"}')))::jsonb -> 'settled', '[true]', 'a cancelled one');
select is(
  exchange_jobs('[{"outcome": "lost", "job_id": "00000000-0000-4000-8000-000000000001", "lease_token": "00000000-0000-4000-8000-000000000001"}, {}]')::jsonb -> 'settled',
  '["outcome must be completed, failed, snoozed or cancelled, not ''lost''", "job_id and lease_token must not be null"]',
  'what cannot be read is refused by name');
select is(exchange_jobs('[1, null]')::jsonb -> 'settled', '["p_outcomes must hold json objects", "p_outcomes must hold json objects"]', 'what is no object too');
select throws_ok($$select exchange_jobs('{}')$$, '22023', 'p_outcomes must be a json array, not object');
select throws_ok($$select exchange_jobs(p_limit => -1)$$, '22023', 'p_limit must be between 0 and 1000, not -1');
select throws_ok($$select exchange_jobs(p_limit => 1001)$$, '22023', 'p_limit must be between 0 and 1000, not 1001');
select * from finish();
rollback;
