-- A limit that a look meets holds looks, one that a beginning meets holds beginnings.
begin;
select plan(5);
insert into job_types (job_type) values ('work');
insert into job_queue (job_type, payload) values ('work', '{"name": "begun"}');
select id, lease_token from claim_next_job() \gset
select snooze_job(:'id', :'lease_token', 0, '{"prediction_id": "p"}');
insert into job_queue (job_type, payload, priority) values ('work', '{"name": "fresh"}', 9);
select id as fresh, lease_token as fresh_token from claim_next_job() \gset
select snooze_job(:'fresh', :'fresh_token', 3600, p_hold_job_type => true);
select results_eq('select held_until, begun_held_until from job_types where job_type = ''work''',
  $$values (now() + interval '1 hour', null::timestamptz)$$, 'a create''s limit');
select lease_token from claim_next_job() \gset
select is((select payload ->> 'name' from job_queue where lease_token = :'lease_token'), 'begun', 'leaves what has begun');
select snooze_job(:'id', :'lease_token', 30, p_hold_job_type => true);
select results_eq('select held_until, begun_held_until from job_types where job_type = ''work''',
  $$values (now() + interval '1 hour', now() + interval '30 seconds')$$, 'a look''s limit');
update job_queue set scheduled_at = now();
update job_types set held_until = null where job_type = 'work';
select results_eq($$select payload ->> 'name' from claim_next_job(p_limit => 9)$$, $$values ('fresh')$$, 'leaves what has not');
select wake_job(:'id', '{"id": "p", "status": "succeeded"}');
select results_eq($$select payload ->> 'name' from claim_next_job(p_limit => 9)$$, $$values ('begun')$$, 'and what was told its end needs neither');
select * from finish();
rollback;
