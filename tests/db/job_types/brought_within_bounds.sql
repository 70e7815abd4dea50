-- A job_types of before the bounds, with what no claim can reckon with.
begin;
select plan(4);
alter table job_types drop constraint job_types_backoff_is_bounded, drop constraint job_types_starts_are_bounded,
  drop constraint job_types_times_are_finite;
insert into job_types (job_type, starts_per_minute, start_tokens, start_tokens_at, backoff_base_seconds, backoff_max_seconds, paused_at, paused_reason, held_until) values
  ('a', 'infinity', 'infinity', 'infinity', 5, 'infinity', null, null, '-infinity'), ('b', 'NaN', 'NaN', '-infinity', 'NaN', 'NaN', 'infinity', 'x', 'infinity'),
  ('c', 1e-300, -1e300, '294276-12-31', 1e300, 1e300, null, null, null), ('d', 100, 7, now(), 5, 600, now(), 'kept', now()), ('e', null, null, null, 5, 600, '-infinity', 'x', null);
create temp table kept as select * from job_types where job_type not in ('a', 'b', 'c', 'e');
\ir ../../../migrations/20261123000002_job_types.sql
select results_eq(
  $$select job_type, starts_per_minute, start_tokens, backoff_base_seconds, backoff_max_seconds, paused_at, paused_reason, held_until from job_types
    where job_type in ('a', 'b', 'c', 'e') order by 1$$,
  $$values ('a', 1e6::double precision, null::double precision, 5::double precision, 2592000::double precision, null::timestamptz, null, null::timestamptz),
    ('b', null, null, 2592000, 2592000, now(), 'x', null), ('c', 0.00001, null, 2592000, 2592000, null, null, null), ('e', null, null, 5, 600, now(), 'x', null)$$,
  'is brought within them, a pause stays a pause');
select set_eq($$select * from job_types where job_type not in ('a', 'b', 'c', 'e')$$, 'select * from kept', 'what was within them stays');
insert into job_queue (job_type) values ('a');
select is((select count(*) from claim_next_job()), 1::bigint, 'claims go on');
select throws_ok($$update job_types set starts_per_minute = 'infinity'$$, '23514', null, 'and it is kept out');
select * from finish();
rollback;
