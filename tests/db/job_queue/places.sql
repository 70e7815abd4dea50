-- Where a job stands follows whatever is done to its row, by whom ever; the checker finds what was done without triggers,
-- and rebuild_places mends it.
begin;
select plan(30);
insert into job_types (job_type) values ('work'), ('play');
create function pg_temp.misplaced() returns bigint language sql as 'select count(*) from process_jobs.misplaced_jobs()';
create function pg_temp.placed(p_table text) returns bigint language plpgsql as $$
declare v_rows bigint; begin execute 'select count(*) from process_jobs.' || p_table into v_rows; return v_rows; end $$;

insert into job_queue (job_type, priority, unique_key) select 'work', n, 'k-' || n from generate_series(1, 10) n;
insert into job_queue (job_type, scheduled_at) select 'work', now() + interval '1 hour' from generate_series(1, 5);
insert into job_queue (job_type, status, completed_at) values ('work', 'failed', now()), ('work', 'completed', now());
insert into job_queue (job_type, status, attempt_number, lease_token, lease_expires_at)
values ('work', 'processing', 1, gen_random_uuid(), now() + interval '1 minute');
select results_eq(
  $$select t, pg_temp.placed(t) from unnest('{ready_jobs,waiting_jobs,failed_jobs,leases,unfinished_keys}'::text[]) t$$,
  $$values ('ready_jobs', 10::bigint), ('waiting_jobs', 5), ('failed_jobs', 1), ('leases', 1), ('unfinished_keys', 10)$$,
  'inserted jobs have their places');
select is(pg_temp.misplaced(), 0::bigint, 'the right ones');

-- By hand.
update job_queue set scheduled_at = now() + interval '1 day' where priority = 1;
select is(pg_temp.placed('waiting_jobs'), 6::bigint, 'put off');
update job_queue set scheduled_at = now() - interval '1 day' where scheduled_at > now();
select is(pg_temp.placed('waiting_jobs'), 0::bigint, 'and brought forward');
update job_queue set priority = 99 where priority = 2;
select is((select priority from claim_next_job()), 99, 'a priority raised by hand counts');
update job_queue set job_type = 'play' where priority = 3;
select is((select priority from claim_next_job('{play}')), 3, 'so does another type');
update job_queue set status = 'failed', completed_at = now() where priority = 4;
select throws_ok($$insert into job_queue (job_type, unique_key) values ('work', 'k-5')$$, '23505', null, 'a key is taken');
select lives_ok($$insert into job_queue (job_type, unique_key) values ('work', 'k-4')$$, 'until its job has ended');
select throws_ok($$update job_queue set status = 'pending' where priority = 4$$, '23505', null, 'which cannot come back then');
update job_queue set unique_key = 'other' where priority = 5;
select lives_ok($$insert into job_queue (job_type, unique_key) values ('work', 'k-5')$$, 'a key that was changed is free');
update job_queue set id = gen_random_uuid(), checkpoint = '{}', woken_at = now() where priority = 6;
select is((select priority from claim_next_job()), 6, 'a job that was woken by hand goes first, under a new id too');
update job_queue set status = 'completed', lease_token = null, lease_expires_at = null where status = 'processing';
update job_queue set created_at = created_at - interval '1 year' where priority = 7;
select is(pg_temp.misplaced(), 0::bigint, 'all of them have their places');
delete from job_queue where priority = 8;
select redrive_failed_jobs();
select is(pg_temp.misplaced(), 0::bigint, 'after a delete and a redrive too');
select is(pg_temp.placed('failed_jobs'), 1::bigint, 'none is failed but the one whose key is taken');

-- Without triggers, as a subscription of logical replication writes.
set local session_replication_role = replica;
insert into job_queue (job_type) values ('work');
update job_queue set status = 'completed' where priority = 9;
delete from job_queue where priority = 7;
set local session_replication_role = origin;
select is(pg_temp.misplaced(), 5::bigint, 'what was written without triggers is found: a job without a place, places and keys without a job');
select is(process_jobs.rebuild_places(), 5::bigint, 'and mended');
select is(pg_temp.misplaced(), 0::bigint, 'all of it');

truncate job_queue;
select is(pg_temp.placed('ready_jobs') + pg_temp.placed('unfinished_keys'), 0::bigint, 'an emptied queue has no places');

-- Ageing.
update job_types set priority_ages_seconds = 60 where job_type = 'work';
insert into job_queue (job_type, priority, created_at, scheduled_at)
values ('work', 0, now() - interval '10 minutes', now()), ('work', 9, now(), now()), ('work', 11, now(), now()), ('play', 10, now(), now());
select results_eq('select priority from claim_next_job(p_limit => 4)', 'values (11), (0), (10), (9)',
  'after so long a job counts as one priority higher, among those of other types too');
update job_queue set status = 'pending', lease_expires_at = now() where status = 'processing';
update job_types set priority_ages_seconds = null where job_type = 'work';
select is(pg_temp.misplaced(), 0::bigint, 'a change of that ranks what waits anew');
select results_eq('select priority from claim_next_job(p_limit => 4)', 'values (11), (10), (9), (0)', 'strictly by priority again');
select throws_ok($$update job_types set priority_ages_seconds = 0 where job_type = 'work'$$, '23514', null, 'which is bounded');

-- So does a type that ages where it comes, is renamed or goes.
insert into job_queue (job_type, priority) values ('later', 3);
insert into job_types (job_type, priority_ages_seconds) values ('later', 60);
select is(pg_temp.misplaced(), 0::bigint, 'a type that comes after its jobs');
update job_types set job_type = 'renamed' where job_type = 'later';
select is(pg_temp.misplaced(), 0::bigint, 'is renamed');
update job_types set job_type = 'later' where job_type = 'renamed';
delete from job_types where job_type = 'later';
select is(pg_temp.misplaced(), 0::bigint, 'and goes');

-- A claim's lease is looked after at its time, and as long as a heartbeat says.
truncate job_queue;
select enqueue_job('work', '{}') as id \gset
select lease_token as token from claim_next_job() \gset
select heartbeat_job(:'id', :'token', 600);
update process_jobs.leases set expires_at = now();
select is_empty('select claim_next_job()', 'a claim whose heartbeat came is not taken back');
select is((select expires_at from process_jobs.leases), now() + interval '10 minutes', 'and looked at again when that is over');
-- One claim that is over brings those after it to an end too, but for what is at work.
truncate job_queue;
select enqueue_jobs('[{"job_type": "work", "payload": {}}, {"job_type": "work", "payload": {}}, {"job_type": "work", "payload": {}}]');
select complete_job(id, p_lease_token => lease_token) from claim_next_job();
select complete_job(id, p_lease_token => lease_token) from claim_next_job();
select lease_token as token from claim_next_job() \gset
update process_jobs.leases set expires_at = now() where token = (select min(token::text)::uuid from process_jobs.leases where token <> :'token');
select claim_next_job();
select results_eq('select token from process_jobs.leases', format('values (%L::uuid)', :'token'), 'leases that are over are forgotten together');
-- What an app's trigger makes of a key and an id holds.
create function pg_temp.other() returns trigger language plpgsql as $$
begin new.id := gen_random_uuid(); new.unique_key := 'app-' || new.unique_key; return new; end $$;
create trigger other before insert on job_queue for each row execute function pg_temp.other();
select enqueue_job('work', '{}', p_unique_key => 'k') as id \gset
select results_eq('select id, unique_key::text collate "default" from process_jobs.unfinished_keys', format('values (%L::uuid, ''app-k'')', :'id'), 'the key that the app gave is kept, and no other');
select is(pg_temp.misplaced(), 0::bigint, 'and all have their places');
select * from finish();
rollback;
