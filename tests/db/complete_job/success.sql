begin;
select plan(13);
insert into job_types (job_type) values ('work'), ('then');

select enqueue_job('work', '{}') as id \gset
select lease_token from claim_next_job() \gset
select is(complete_job(
    :'id', '{"made": 1}', p_lease_token => :'lease_token',
    p_follow_ups => '[{"job_type": "then", "payload": {"a": 1}},
      {"job_type": "then", "payload": {}, "priority": 1, "max_attempts": 5, "scheduled_at": "2100-01-01T00:00:00Z", "unique_key": "k"}]'),
  true, 'a settle is recorded');
select results_eq(
  $$select status, result, error_message, progress, completed_at, lease_token, lease_expires_at from job_queue where job_type = 'work'$$,
  $$values ('completed', '{"made": 1}'::jsonb, null::text, 100::smallint, now(), null::uuid, null::timestamptz)$$,
  'the job is completed and carries no lease');
select results_eq(
  $$select payload, priority, max_attempts, scheduled_at, unique_key from job_queue where job_type = 'then' order by priority$$,
  $$values ('{"a": 1}'::jsonb, 0, 3, now(), null), ('{}', 1, 5, '2100-01-01 00:00:00+00', 'k')$$,
  'follow-ups are enqueued with it');

-- The way it was called before there were leases.
delete from job_queue;
select enqueue_job('work', '{}') as id \gset
select is(complete_job(:'id', '{}'), false, 'without a token, a pending job is not completed');
select id from claim_next_job() \gset
select is(complete_job(p_job_id => :'id', p_result => '{"by": "hand"}'), true, 'a processing one is');
select is(complete_job(:'id', '{}'), false, 'once only');
select is(complete_job(:'id', p_error => 'late'), false, 'and it does not fail afterwards');
select is((select result from job_queue where id = :'id'), '{"by": "hand"}'::jsonb, 'the first result stays');
select is(complete_job(gen_random_uuid(), '{}'), false, 'a job that is not there: false');

select enqueue_job('work', '{}') as id \gset
select lease_token from claim_next_job() \gset
select throws_ok(
  format($$select complete_job(%L, '{}', p_lease_token => %L, p_follow_ups => '[{"job_type": "then", "payload": {}}, {"job_type": "nix", "payload": {}}]')$$, :'id', :'lease_token'),
  '22023', 'unknown job type "nix": job_types has no row for it');
select results_eq(
  format('select status, (select count(*) from job_queue where job_type = ''then'') from job_queue where id = %L', :'id'),
  $$values ('processing', 0::bigint)$$,
  'a follow-up that is refused leaves the job at work and enqueues nothing');
select throws_ok(
  format($$select complete_job(%L, p_follow_ups => '[{"job_type": "then", "payload": {}, "delay": 1}]')$$, :'id'),
  '22023', 'p_follow_ups has an unknown key "delay"');
select throws_ok(format($$select complete_job(%L, p_follow_ups => '[1]')$$, :'id'), '22023', 'p_follow_ups must hold json objects, not number');

select * from finish();
rollback;
