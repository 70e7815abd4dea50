-- A pause keeps jobs from beginning, not from ending.
begin;
select plan(7);
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
update job_types set held_until = now() + interval '10 seconds';
select is(seconds_until_next_job(), 10::float8, 'a hold is for both');
select is_empty('select * from claim_next_job()', 'none is claimed');
update job_types set held_until = null, paused_at = null, paused_reason = null;
select results_eq($$select payload ->> 'name' from claim_next_job(p_limit => 10)$$, $$values ('fresh'), ('begun')$$, 'open again, both come by rank');

select * from finish();
rollback;
