begin;
select plan(12);
insert into job_types (job_type, fair_key) values ('work', null), ('fair', 'user_id');
create function pg_temp.misplaced() returns bigint language sql as 'select count(*) from process_jobs.misplaced_jobs()';
select enqueue_job('work', '{"n": 1}') as first \gset
select enqueue_job('work', '{"n": 2}') as second \gset
select ok(change_priority(:'second', 3), 'a pending job');
select is((select payload ->> 'n' from claim_next_job()), '2', 'goes first then');
select ok(not change_priority(:'second', 4), 'not one at work');
select is((select priority from job_queue where id = :'second'), 3, 'which stays as it is');
select complete_job(:'second', '{}');
select ok(not change_priority(:'second', 4), 'nor one that has ended');
select ok(not change_priority(gen_random_uuid(), 4), 'nor one that does not exist');
select ok(change_priority(:'first', 0), 'the same again is no change, and true');
select throws_ok(format('select change_priority(%L, null)', :'first'), '22023', 'p_priority must be a number, not null');
update job_queue set scheduled_at = now() + interval '1 hour' where id = :'first';
select ok(change_priority(:'first', -7), 'a job that waits');
select is(pg_temp.misplaced(), 0::bigint, 'its place goes with it');

insert into job_queue (job_type, payload) select 'fair', jsonb_build_object('user_id', 'a', 'n', n) from generate_series(1, 5) n;
insert into job_queue (job_type, payload, priority) select 'fair', jsonb_build_object('user_id', o, 'n', n), 1 from unnest('{b,c}'::text[]) o, generate_series(1, 3) n;
select change_priority(id, 1) from job_queue where payload ->> 'user_id' = 'a' and payload ->> 'n' in ('4', '5') order by payload ->> 'n';
select is((select string_agg(concat(c.payload ->> 'user_id', c.payload ->> 'n'), ' ') from claim_next_job('{fair}', 20) c),
  'b1 c1 a4 b2 c2 a5 b3 c3 a1 a2 a3', 'of a fair type it takes its owner''s next turns there');
select is(pg_temp.misplaced(), 0::bigint, 'its place goes with it');
select * from finish();
rollback;
