-- What an app's own triggers on job_queue do beside a change leaves every job in its place, and no key taken for good.
begin;
select plan(21);
insert into job_types (job_type) values ('work');
create function pg_temp.misplaced() returns bigint language sql as 'select count(*) from process_jobs.misplaced_jobs()';

-- Makes such a trigger in place of the one before, and empties the queue.
create procedure pg_temp.app(p_when text, p_what text, p_condition text default 'true') language plpgsql as $$
begin
  drop trigger if exists a_trigger_of_the_app on job_queue;
  truncate job_queue;
  execute format('create or replace function pg_temp.of_the_app() returns trigger language plpgsql as %L', p_what);
  execute format('create trigger a_trigger_of_the_app %s on job_queue for each row when (%s) execute function pg_temp.of_the_app()',
    p_when, p_condition);
end $$;

-- Rows written back as a whole, as a library's save() does.
select enqueue_job('work', '{}');
select id, lease_token from claim_next_job() \gset
update job_queue set status = 'pending', attempt_number = 0, lease_token = null, lease_expires_at = null, moves = 0;
select is(pg_temp.misplaced(), 0::bigint, 'a row written back as it was before its claim');
select is((select count(*) from claim_next_job()), 1::bigint, 'is claimed again');

-- Before an insert.
call pg_temp.app('before insert', 'begin new.status := ''cancelled''; new.completed_at := now(); return new; end');
select enqueue_job('work', '{}', p_unique_key => 'k') as id \gset
select is(pg_temp.misplaced(), 0::bigint, 'a job that is ended where it is made');
select isnt(enqueue_job('work', '{}', p_unique_key => 'k'), :'id'::uuid, 'has no key');
select enqueue_jobs('[{"job_type": "work", "payload": {}, "unique_key": "k"}]');
select is_empty('select * from process_jobs.unfinished_keys', 'nor has one of many');

-- After an insert.
call pg_temp.app('after insert', 'begin update job_queue set unique_key = ''app-'' || unique_key where id = new.id; return null; end');
select enqueue_job('work', '{}', p_unique_key => 'k');
select is(pg_temp.misplaced(), 0::bigint, 'a key that is changed after the insert');
call pg_temp.app('after insert', 'begin delete from job_queue where id = new.id; return null; end');
insert into job_queue (job_type, unique_key) values ('work', 'k');
select is(pg_temp.misplaced(), 0::bigint, 'a job that is deleted after its insert');
call pg_temp.app('after insert', 'begin update job_queue set status = ''completed'', completed_at = now() where id = new.id; return null; end');
select enqueue_job('work', '{}', p_unique_key => 'k');
select is(pg_temp.misplaced(), 0::bigint, 'or ended');

-- Before an update.
call pg_temp.app('before update', 'begin new.unique_key := null; return new; end', $$new.status = 'completed'$$);
select enqueue_job('work', '{}', p_unique_key => 'k') as id \gset
select complete_job(id, p_lease_token => lease_token) from claim_next_job();
select is(pg_temp.misplaced(), 0::bigint, 'a key that is cleared with the completion');
select isnt(enqueue_job('work', '{}', p_unique_key => 'k'), :'id'::uuid, 'is free');
call pg_temp.app('before update', 'begin new.unique_key := ''other''; new.job_type := ''work''; return new; end', $$new.status = 'processing'$$);
select enqueue_job('work', '{}', p_unique_key => 'k');
select is((select count(*) from claim_next_job()), 1::bigint, 'a key that is changed with the claim');
select is(pg_temp.misplaced(), 0::bigint, 'is kept as it is then');
call pg_temp.app('before update', 'begin new.status := ''pending''; return new; end', $$new.status = 'processing'$$);
select enqueue_job('work', '{}');
select is_empty('select * from claim_next_job()', 'a job that the app keeps pending is not handed out');
select is(pg_temp.misplaced(), 0::bigint, 'and stays in its place');
select matches((select message from process_jobs.job_troubles), 'lets its row be as it is', 'with a note');
delete from process_jobs.job_troubles;
call pg_temp.app('before update', 'begin return old; end', $$new.status = 'completed'$$);
select enqueue_job('work', '{}');
select id, lease_token from claim_next_job() \gset
select throws_ok(format('select complete_job(%L, p_lease_token => %L)', :'id', :'lease_token'), 'P0001', null, 'an outcome that the app keeps out is refused');

-- After an update, before ours.
call pg_temp.app('after update', 'begin update job_queue set status = ''pending'', scheduled_at = now() + interval ''1 day'' where id = new.id; return null; end',
  $$new.status = 'completed'$$);
insert into job_queue (job_type) values ('work');
update job_queue set status = 'completed', completed_at = now();
select is(pg_temp.misplaced(), 0::bigint, 'a job that is completed by hand and put back by the app');
truncate job_queue;
select enqueue_job('work', '{}', p_unique_key => 'k');
select complete_job(id, p_lease_token => lease_token) from claim_next_job();
select is(pg_temp.misplaced(), 0::bigint, 'or completed by a worker');
call pg_temp.app('after update', 'begin delete from job_queue where id = new.id; return null; end', $$new.status = 'completed'$$);
select enqueue_job('work', '{}', p_unique_key => 'k');
select is((select complete_job(id, p_lease_token => lease_token) from claim_next_job()), true, 'a job that is deleted once it is completed');
select is(pg_temp.misplaced(), 0::bigint, 'has no place');
call pg_temp.app('after update', 'begin update job_queue set unique_key = null where id = new.id; return null; end',
  'new.priority = 9 and new.unique_key is not null');
select enqueue_job('work', '{}', p_unique_key => 'k');
update job_queue set priority = 9;
select is(pg_temp.misplaced(), 0::bigint, 'a key that the app clears after a change by hand');
select * from finish();
rollback;
