-- Each way in which a job ends notifies once, in the same transaction.
begin;
select plan(45);
insert into job_types (job_type) values ('work'), ('then');
create function told(p_job_id uuid) returns setof jsonb language sql as $$
  select d.payload from job_queue d
  where d.job_type = 'deliver-webhook' and d.payload #>> '{body,data,job_id}' = p_job_id::text order by d.id
$$;

select enqueue_job('work', '{"generation_id": "g1", "user_id": "u1", "prompt": "a secret"}', p_unique_key => 'k',
  p_notify_url => 'http://10.0.0.1:8000/hook?a=b') as id \gset
select lease_token from claim_next_job('{work}') \gset
select is_empty(format('select told(%L)', :'id'), 'a claim tells nobody');
select is(complete_job(:'id', '{"made": null}', p_lease_token => :'lease_token'), true);
select results_eq(format('select told(%L)', :'id'), format($$values (jsonb_build_object(
  'url', 'http://10.0.0.1:8000/hook?a=b', 'body', jsonb_build_object(
    'type', 'job.completed', 'timestamp', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'data', jsonb_build_object('job_id', %L, 'job_type', 'work', 'status', 'completed', 'attempt_number', 1, 'unique_key', 'k',
      'generation_id', 'g1', 'user_id', 'u1', 'result', '{"made": null}'::jsonb))))$$, :'id'), 'a completion tells this, and no more');
select results_eq(
  format($$select status, priority, max_attempts, scheduled_at, notify_url from job_queue where job_type = 'deliver-webhook'$$),
  $$values ('pending', 0, 18, now(), null::text)$$, 'a job of its own, due now');
select is(complete_job(:'id', '{}', p_lease_token => :'lease_token'), false, 'a second settle');
select is((select count(*) from told(:'id')), 1::bigint, 'tells nothing');
select is((select array_agg(id) from process_jobs.misplaced_jobs() m (id)), null, 'every job is in its place');

-- Failures: not one that is tried again.
select enqueue_job('work', '{}', p_max_attempts => 2, p_notify_url => 'https://example.com/hook') as id \gset
select lease_token from claim_next_job('{work}') \gset
select complete_job(:'id', p_error => 'did not work', p_lease_token => :'lease_token');
select is_empty(format('select told(%L)', :'id'), 'an attempt that is tried again tells nobody');
update job_queue set scheduled_at = now() where id = :'id';
select lease_token from claim_next_job('{work}') \gset
select is(snooze_job(:'id', :'lease_token', 0, '{"a": 1}'), true);
select lease_token from claim_next_job('{work}') \gset
select is_empty(format('select told(%L)', :'id'), 'nor does a snooze');
select complete_job(:'id', p_error => 'never will', p_retry => 'never', p_lease_token => :'lease_token');
select results_eq(format($$select t -> 'body' ->> 'type', (t #> '{body,data}') - 'job_id' from told(%L) t$$, :'id'),
  $$values ('job.failed', '{"job_type": "work", "status": "failed", "attempt_number": 2, "error_message": "never will"}'::jsonb)$$,
  'a failure for good tells its reason');
select is(retry_job(:'id'), true);
select lease_token from claim_next_job('{work}') \gset
select complete_job(:'id', '{}', p_lease_token => :'lease_token');
select results_eq(format($$select t -> 'body' ->> 'type' from told(%L) t$$, :'id'), $$values ('job.failed'), ('job.completed')$$,
  'brought back, it tells its next end, by another job');
select is((select array_agg(id) from process_jobs.misplaced_jobs() m (id)), null, 'every job is in its place');

-- The end of a lease.
select enqueue_job('work', '{}', p_max_attempts => 1, p_notify_url => 'https://example.com/hook') as id \gset
select claim_next_job('{work}');
update job_queue set lease_expires_at = now() - interval '1 s' where id = :'id';
update process_jobs.leases set expires_at = now() - interval '1 s';
select claim_next_job('{then}');
select results_eq(format($$select t -> 'body' ->> 'type' from told(%L) t$$, :'id'), $$values ('job.failed')$$, 'the end of the last lease');
select is((select array_agg(id) from process_jobs.misplaced_jobs() m (id)), null, 'every job is in its place');

-- Cancels.
select enqueue_job('work', '{}', p_notify_url => 'https://example.com/hook') as id \gset
select is(cancel_job(:'id'), true);
select results_eq(format($$select t -> 'body' ->> 'type' from told(%L) t$$, :'id'), $$values ('job.cancelled')$$, 'a cancel of what has not begun');
select enqueue_job('work', '{}', p_notify_url => 'https://example.com/hook') as id \gset
select lease_token from claim_next_job('{work}') \gset
select is(cancel_job(:'id'), true);
select is_empty(format('select told(%L)', :'id'), 'the wish to cancel a job at work tells nobody');
select complete_job(:'id', '{"done": 1}', p_lease_token => :'lease_token');
select results_eq(format($$select t -> 'body' ->> 'type', t #> '{body,data,result}' from told(%L) t$$, :'id'),
  $$values ('job.cancelled', null::jsonb)$$, 'its end does');

-- By hand.
select enqueue_job('work', '{}', p_notify_url => 'https://example.com/hook') as id \gset
update job_queue set status = 'cancelled' where id = :'id';
select results_eq(format($$select t -> 'body' ->> 'type' from told(%L) t$$, :'id'), $$values ('job.cancelled')$$, 'a cancel by an update');
select enqueue_job('work', '{}', p_notify_url => 'https://example.com/hook') as id \gset
select lease_token from claim_next_job('{work}') \gset
update job_queue set status = 'cancelled' where id = :'id';
select is_empty(format('select told(%L)', :'id'), 'one of a job at work is a wish');
select is(cancel_job(:'id', :'lease_token'), true);
select results_eq(format($$select t -> 'body' ->> 'type' from told(%L) t$$, :'id'), $$values ('job.cancelled')$$, 'that tells once it is done');
select enqueue_job('work', '{}', p_notify_url => 'https://example.com/hook') as id \gset
update job_queue set status = 'failed', error_message = 'by hand' where id = :'id';
update job_queue set status = 'failed', error_message = 'again', priority = 3 where id = :'id';
select results_eq(format($$select t -> 'body' ->> 'type' from told(%L) t$$, :'id'), $$values ('job.failed')$$, 'a failure by an update, once');
select enqueue_job('work', '{}', p_notify_url => 'https://example.com/hook') as id \gset
select lease_token from claim_next_job('{work}') \gset
update job_queue set status = 'pending' where id = :'id';
select is(complete_job(:'id', '{}', p_lease_token => :'lease_token'), true);
select results_eq(format($$select t -> 'body' ->> 'type' from told(%L) t$$, :'id'), $$values ('job.completed')$$, 'a job put back by hand, and settled');

-- Several in one exchange.
select array_agg(e.id) as ids from unnest(enqueue_jobs('[{"job_type": "work", "payload": {}, "notify_url": "https://example.com/a"},
  {"job_type": "work", "payload": {}}, {"job_type": "work", "payload": {}, "notify_url": "https://example.com/b"}]')) e (id) \gset
select exchange_jobs((
    select jsonb_agg(jsonb_build_object('outcome', case when c.payload is not null then 'completed' end, 'job_id', c.id, 'lease_token', c.lease_token, 'result', '{}'::jsonb))
    from claim_next_job('{work}', 10) c));
select results_eq(format($$select t ->> 'url' from unnest(%L::uuid[]) i (id), told(i.id) t order by 1$$, :'ids'),
  $$values ('https://example.com/a'), ('https://example.com/b')$$, 'each tells its own');

-- Follow-ups.
select enqueue_job('work', '{}', p_notify_url => 'https://example.com/hook') as id \gset
select lease_token from claim_next_job('{work}') \gset
select complete_job(:'id', '{}', p_lease_token => :'lease_token', p_follow_ups => '[{"job_type": "then", "payload": {"n": 1}}]');
select is_empty(format('select told(%L)', :'id'), 'a job with follow-ups tells nobody');
select is((select notify_url from job_queue where job_type = 'then'), 'https://example.com/hook', 'they have its address');
select id, lease_token from claim_next_job('{then}') \gset
select complete_job(:'id', '{"images": [1]}', p_lease_token => :'lease_token');
select results_eq(format($$select t #> '{body,data,result}' from told(%L) t$$, :'id'), $$values ('{"images": [1]}'::jsonb)$$, 'and tell');
select enqueue_job('work', '{}', p_notify_url => 'https://example.com/hook') as id \gset
select lease_token from claim_next_job('{work}') \gset
select exchange_jobs(jsonb_build_array(jsonb_build_object('outcome', 'failed', 'job_id', :'id', 'lease_token', :'lease_token', 'error', 'refused',
  'retry', 'never', 'unrecorded', '{"result": {"a": 1}, "follow_ups": [{"job_type": "then", "payload": {}}]}'::jsonb)));
select results_eq(format($$select t -> 'body' ->> 'type' from told(%L) t$$, :'id'), $$values ('job.failed')$$, 'a refused completion has failed');
select is(retry_job(:'id'), true);
select is((select count(*) from told(:'id')), 1::bigint, 'completed after all, its follow-ups tell');
select is((select notify_url from job_queue where job_type = 'then' and status = 'pending'), 'https://example.com/hook');

-- What delivers tells nobody; what is large is left out.
update job_types set notify_url = 'http://inside/all' where job_type in ('work', 'deliver-webhook');
select enqueue_job('work', '{}') as id \gset
select is((select notify_url from job_queue where id = :'id'), 'http://inside/all', 'a type has an address for its jobs');
select lease_token from claim_next_job('{work}') \gset
select complete_job(:'id', jsonb_build_object('a', repeat('x', 8200)), p_lease_token => :'lease_token');
select results_eq(format($$select (t #> '{body,data}') - 'job_id' from told(%L) t$$, :'id'),
  $$values ('{"job_type": "work", "status": "completed", "attempt_number": 1, "result_omitted": true}'::jsonb)$$, 'a large result is left out');
select count(*) as deliveries from job_queue where job_type = 'deliver-webhook' \gset
select complete_job(c.id, '{}', p_lease_token => c.lease_token) from claim_next_job('{deliver-webhook}', 100) c;
select is((select count(*) from job_queue where job_type = 'deliver-webhook'), :deliveries::bigint, 'a delivery tells nobody');
select is((select array_agg(id) from process_jobs.misplaced_jobs() m (id)), null, 'every job is in its place');

-- Where no such job can be made, the end holds and is told later.
create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no such jobs here'; end $$;
create trigger refuse before insert on job_queue for each row when (new.job_type = 'deliver-webhook') execute function refuse();
select enqueue_job('work', '{}', p_notify_url => 'https://example.com/hook') as id \gset
select lease_token from claim_next_job('{work}') \gset
select is(complete_job(:'id', '{}', p_lease_token => :'lease_token'), true, 'an end that cannot be told holds');
select results_eq('select job_id::text, kind, message from process_jobs.job_troubles',
  format($$values (%L, 'notify', 'nobody is notified of its end: no such jobs here')$$, :'id'));
drop trigger refuse on job_queue;
update process_jobs.job_troubles set retry_at = now();
select claim_next_job('{then}');
select results_eq(format($$select t -> 'body' ->> 'type' from told(%L) t$$, :'id'), $$values ('job.completed')$$, 'and is told once it can be');
select is_empty('select * from process_jobs.job_troubles');
select claim_next_job('{then}');
select is((select count(*) from told(:'id')), 1::bigint, 'once');

select * from finish();
rollback;
