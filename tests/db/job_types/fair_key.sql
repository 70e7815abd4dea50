-- A type with a fair_key takes the jobs of each owner in turns with the others', within a priority.
begin;
select plan(33);
insert into job_types (job_type, fair_key) values ('work', 'user_id');
insert into job_types (job_type) values ('play');
create function pg_temp.add(p_owner text, p_jobs int, p_priority int default 0, p_scheduled_at timestamptz default now())
returns void language sql as $$
  insert into job_queue (job_type, payload, priority, scheduled_at)
  select 'work', jsonb_strip_nulls(jsonb_build_object('user_id', p_owner, 'n', n)), p_priority, p_scheduled_at
  from generate_series(1, p_jobs) n $$;
-- Whose jobs one claim takes, in its order.
create function pg_temp.claim(p_limit int) returns text language sql as $$
  select coalesce(string_agg(coalesce(c.payload ->> 'user_id', '-') || coalesce(c.payload ->> 'n', ''), ' '), '') from claim_next_job(p_limit => p_limit) c $$;
create function pg_temp.misplaced() returns bigint language sql as 'select count(*) from process_jobs.misplaced_jobs()';
create function pg_temp.clear() returns void language sql as 'truncate job_queue; truncate process_jobs.job_troubles';

-- Two and three owners.
select pg_temp.add('noisy', 1000);
select pg_temp.add('small', 1);
select is(pg_temp.claim(4), 'noisy1 noisy2 small1 noisy3', 'one among a thousand goes after what is at the head');
select pg_temp.add('small', 2);
select is(pg_temp.claim(5), 'noisy4 noisy5 small1 noisy6 small2', 'and so do the next');
select pg_temp.add('small', 3);
select pg_temp.add('third', 3);
select is(pg_temp.claim(9), 'noisy7 noisy8 small1 third1 noisy9 small2 third2 noisy10 small3', 'three owners take turns');
select is(pg_temp.misplaced(), 0::bigint, 'all are where claims look');
select is(pg_temp.claim(2), 'third3 noisy11', 'who has no more leaves the turns to the others');

-- Nobody pays for turns that are over.
select pg_temp.clear();
select pg_temp.add('noisy', 500);
do $$ begin perform claim_next_job(p_limit => 1000); end $$;
select pg_temp.add('small', 3);
select pg_temp.add('noisy', 3);
select is(pg_temp.claim(9), 'small1 small2 noisy1 small3 noisy2 noisy3', 'who had many before has the next turn like anyone');

-- One insert of many owners, and one for each job, come to the same.
select pg_temp.clear();
insert into job_queue (job_type, payload)
select 'work', jsonb_build_object('user_id', case when n <= 4 then 'a' when n <= 6 then 'b' else 'c' end, 'n', n) from generate_series(1, 7) n;
select is(pg_temp.claim(9), 'a1 b5 c7 a2 b6 a3 a4', 'of one insert each owner has one job a turn');
select enqueue_jobs(jsonb_agg(jsonb_build_object('job_type', 'work', 'payload', jsonb_build_object('user_id', o, 'n', n)) order by o, n))
from unnest('{a,b}'::text[]) o, generate_series(1, 2) n;
select is(pg_temp.claim(9), 'a1 b1 a2 b2', 'so it is with enqueue_jobs');
select enqueue_job('work', '{"user_id": "a", "n": 1}'), enqueue_job('work', '{"user_id": "a", "n": 2}'), enqueue_job('work', '{"user_id": "a", "n": 3}'), enqueue_job('work', '{"user_id": "b", "n": 1}');
select is(pg_temp.claim(9), 'a1 a2 b1 a3', 'and with enqueue_job');

-- Between priorities there are no turns.
select pg_temp.clear();
select pg_temp.add('a', 2, -2147483648), pg_temp.add('b', 1, -2147483648), pg_temp.add('a', 2, 5), pg_temp.add('b', 1, 5), pg_temp.add('a', 1, 2147483647), pg_temp.add('c', 1, -1);
select is(pg_temp.claim(9), 'a1 a1 a2 b1 c1 a1 a2 b1', 'strictly by priority, up to the ends of its range');
select is(pg_temp.misplaced(), 0::bigint, 'those too are where claims look');

-- Without an owner.
select pg_temp.clear();
select pg_temp.add(null, 3), pg_temp.add('a', 3);
insert into job_queue (job_type, payload) values ('work', '{"user_id": null}'), ('work', '{"user_id": [1]}');
insert into job_queue (job_type, payload) values ('work', jsonb_build_object('user_id', repeat('x', 100000)));
select is((select count(*) from process_jobs.turns), 4::bigint, 'jobs without an owner have one line; an owner may be anything, of any length');
select is((select string_agg(left(c, 1), '') from unnest(string_to_array(pg_temp.claim(99), ' ')) c), '--a[x-aa-', 'and take turns with the others');

-- What comes back, not having begun, does not go behind its owner's others.
select pg_temp.clear();
select pg_temp.add('a', 4), pg_temp.add('b', 4);
select pg_temp.claim(1);
select snooze_job(id, lease_token, 0) from job_queue where status = 'processing';
select is(pg_temp.claim(1), 'a1', 'a throttled job goes first again');
select complete_job(id, p_error => 'no', p_lease_token => lease_token) from job_queue where status = 'processing';
select is(pg_temp.claim(2), 'a2 b1', 'while one that has failed waits the others go on');
update job_queue set scheduled_at = now() where status = 'pending' and attempt_number = 1;
select is(pg_temp.claim(1), 'a1', 'then it goes first, too');
update job_queue set lease_expires_at = now() where status = 'processing';
select is(pg_temp.claim(4), 'a1 a2 b1 a3', 'as do jobs of a lost worker');
select pg_temp.add('c', 1);
select is(pg_temp.claim(3), 'b2 a4 b3', 'turns go on from where they were');
select complete_job(id, p_error => 'no', p_lease_token => lease_token, p_retry => 'never') from job_queue where status = 'processing';
select redrive_failed_jobs();
select matches(pg_temp.claim(3), 'c1 a. b4', 'what a person retries does not pass those that wait');
select is(pg_temp.misplaced(), 0::bigint, 'all are where claims look');

-- For later: a turn is given when it falls due.
select pg_temp.clear();
select pg_temp.add('noisy', 5, 0, now() + interval '1 hour'), pg_temp.add('small', 1, 0, now() + interval '1 hour');
select is((select count(*) from process_jobs.turns), 0::bigint, 'what waits has no turn');
update process_jobs.waiting_jobs set due_at = now();
alter table job_queue disable trigger user;
update job_queue set scheduled_at = now();
alter table job_queue enable trigger user;
select is(pg_temp.claim(3), 'noisy1 small1 noisy2', 'it gets it when it is due');

-- Beside other types: as old as its first.
select pg_temp.clear();
insert into job_queue (job_type, payload, created_at, scheduled_at) values ('work', '{"user_id": "old"}', now() - interval '3 hours', now()), ('work', '{"user_id": "old"}', now() - interval '3 hours', now());
insert into job_queue (job_type, payload, created_at, scheduled_at) values ('play', '{"user_id": "play"}', now() - interval '1 hour', now());
insert into job_queue (job_type, payload, created_at, scheduled_at) values ('work', '{"user_id": "new"}', now(), now());
select is(pg_temp.claim(1) || ' ' || pg_temp.claim(1) || ' ' || pg_temp.claim(1) || ' ' || pg_temp.claim(1), 'old old play new', 'the older first, of the first of each');

-- A fair_key that comes or goes with jobs waiting.
select pg_temp.clear();
update job_types set fair_key = null where job_type = 'work';
select pg_temp.add('a', 3), pg_temp.add('b', 2);
select pg_temp.add('a', 1, 0, now() + interval '1 hour');
update job_types set fair_key = 'user_id' where job_type = 'work';
select is(pg_temp.misplaced(), 0::bigint, 'a fair_key gives what waits its turns');
select is(pg_temp.claim(3), 'a1 b1 a2', 'as if it had always been there');
update job_types set fair_key = 'n' where job_type = 'work';
update job_types set fair_key = null where job_type = 'work';
select is(pg_temp.misplaced(), 0::bigint, 'one that goes takes them away');
select is(pg_temp.claim(9), 'a3 b2', 'by age again');
select is((select count(*) from process_jobs.turns), 0::bigint, 'and nothing is left of them');
select throws_ok($$update job_types set fair_key = 'user_id', priority_ages_seconds = 60 where job_type = 'work'$$, '23514', null, 'a type is fair or ages');

-- The finder and the mender.
update job_types set fair_key = 'user_id' where job_type = 'work';
select pg_temp.add('a', 3), pg_temp.add('b', 2);
update process_jobs.ready_jobs set rank = -1::bigint << 31;
select is(pg_temp.misplaced(), 5::bigint, 'a place of another priority is found');
select is(process_jobs.rebuild_places(), 5::bigint, 'and mended');
select is(pg_temp.claim(9), 'a1 b1 a2 b2 a3', 'with turns by age');
select pg_temp.add('a', 3);
update job_queue set status = 'completed', completed_at = now() - interval '2 hours', lease_token = null, lease_expires_at = null where status = 'processing';
select prune_jobs(now() - interval '1 hour');
select is((select count(*) from process_jobs.turns), 1::bigint, 'turns that are over are pruned');
select * from finish();
rollback;
