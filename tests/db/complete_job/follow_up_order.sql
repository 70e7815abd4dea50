-- What a job leaves to do next is as urgent as it was, and has waited since what it carries on was ready.
begin;
select plan(5);
insert into job_types (job_type) values ('work'), ('next');
insert into job_queue (job_type, priority) values ('work', 10), ('work', -5);
create temp table claimed as select * from claim_next_job(p_limit => 2);
select complete_job(id, '{}', p_lease_token => lease_token, p_follow_ups => jsonb_build_array(
    jsonb_build_object('job_type', 'next', 'payload', '{"name": "lower"}'::jsonb, 'priority', 1),
    jsonb_build_object('job_type', 'next', 'payload', '{"name": "higher"}'::jsonb, 'priority', 99),
    jsonb_build_object('job_type', 'next', 'payload', '{"name": "unsaid"}'::jsonb)))
from claimed where priority = 10;
select results_eq(
  $$select payload ->> 'name', priority from job_queue where job_type = 'next' order by 1$$,
  $$values ('higher', 99), ('lower', 10), ('unsaid', 10)$$, 'at least its parent''s priority');
delete from job_queue where job_type = 'next';

select complete_job(id, '{}', p_lease_token => lease_token, p_follow_ups => jsonb_build_array(
    jsonb_build_object('job_type', 'next', 'payload', '{"name": "late"}'::jsonb, 'waiting_since', now() - interval '1 minute'),
    jsonb_build_object('job_type', 'next', 'payload', '{"name": "later"}'::jsonb),
    jsonb_build_object('job_type', 'next', 'payload', '{"name": "odd"}'::jsonb, 'waiting_since', 'soon'),
    jsonb_build_object('job_type', 'next', 'payload', '{"name": "never"}'::jsonb, 'waiting_since', '-infinity'),
    jsonb_build_object('job_type', 'next', 'payload', '{"name": "to come"}'::jsonb, 'waiting_since', now() + interval '1 hour'),
    jsonb_build_object('job_type', 'next', 'payload', '{"name": "first"}'::jsonb, 'waiting_since', now() - interval '50 minutes')))
from claimed where priority = -5;
select is((select count(*) from job_queue where job_type = 'next' and priority = 0 and scheduled_at <= now()), 6::bigint,
  'one of no time, or of one to come, is due now');
select results_eq(
  $$select payload ->> 'name' from claim_next_job(array['next'], 2)$$, $$values ('first'), ('late')$$,
  'what has waited longest comes first');
select is((select count(*) from job_queue where job_type = 'next' and scheduled_at > created_at), 0::bigint, 'and none counts as delayed');
select enqueue_job('work', '{}', p_scheduled_at => now() - interval '1 day') as id \gset
select results_eq(
  $$select created_at, scheduled_at from job_queue where id = '$$ || :'id' || $$'$$,
  $$values (now() - interval '1 day', now() - interval '1 day')$$, 'so it is with an enqueue of a past time');
select * from finish();
rollback;
