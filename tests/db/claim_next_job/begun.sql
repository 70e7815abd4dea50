-- A pause keeps jobs from beginning, not from ending.
begin;
select plan(12);
insert into job_types (job_type) values ('work');
insert into job_queue (job_type, payload) values ('work', '{"name": "begun"}');
select id, lease_token from claim_next_job() \gset
select snooze_job(:'id', :'lease_token', 0, '{"prediction_id": "p"}');
insert into job_queue (job_type, payload, priority) values ('work', '{"name": "fresh"}', 9);
select pause_job_type('work', 'no credit');
select is(seconds_until_next_job(), 0::float8, 'a job that has begun is due in a paused type');
select is(queue_stats() -> 'ready', '1', 'and counted as ready');
select results_eq($$select payload ->> 'name' from claim_next_job(p_limit => 10)$$, $$values ('begun')$$, 'and claimed');
select is(seconds_until_next_job(), null, 'one that has not waits');
update job_queue set status = 'pending', lease_expires_at = now() where status = 'processing';
update job_types set held_until = now() + interval '20 seconds', begun_held_until = now() + interval '10 seconds';
select is(seconds_until_next_job(), 10::float8, 'each kind has a hold of its own');
select is_empty('select * from claim_next_job()', 'none is claimed');
update job_types set paused_at = null, paused_reason = null, begun_held_until = null where job_type = 'work';
update job_types set held_until = now() + interval '20 seconds' where job_type = 'work';
select is(seconds_until_next_job(), 0::float8, 'a hold keeps jobs from beginning, not from ending');
update job_types set begun_held_until = now() + interval '10 seconds' where job_type = 'work';
select wake_job(:'id', '{"id": "p", "status": "succeeded"}');
select is(seconds_until_next_job(), 0::float8, 'and what was woken from neither');
select is(queue_stats() -> 'ready', '1', 'which counts as ready');
select results_eq($$select payload ->> 'name' from claim_next_job(p_limit => 10)$$, $$values ('begun')$$, 'and is claimed');
update job_queue set status = 'pending', lease_expires_at = now() where status = 'processing';
update job_types set held_until = null, begun_held_until = null;
select results_eq($$select payload ->> 'name' from claim_next_job(p_limit => 10)$$, $$values ('fresh'), ('begun')$$, 'open again, both come by rank');

-- What has ended outside goes before all else, in each call.
update job_queue set status = 'pending', lease_expires_at = now() where status = 'processing';
insert into job_queue (job_type, priority) select 'work', 9 from generate_series(1, 30);
select wake_job(:'id', '{"id": "p", "status": "succeeded", "n": 2}');
select results_eq($$select payload ->> 'name' from claim_next_job()$$, $$values ('begun')$$, 'what was woken goes before new work of a higher priority');

select * from finish();
rollback;
