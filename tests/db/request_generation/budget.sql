-- Over their budget for the month a user is refused, or waits for the next one; the project's counts for all.
begin;
select plan(10);
insert into user_limits (applies_to, max_cost_per_month) values ('all', 5);
set local request.jwt.claims = '{"role": "authenticated", "sub": "user-1"}';
insert into usage_ledger (id, job_id, user_id, status, cost) values
  ('mine', gen_random_uuid(), 'user-1', 'succeeded', 4.5), ('free', gen_random_uuid(), 'user-1', 'succeeded', null),
  ('theirs', gen_random_uuid(), 'user-2', 'succeeded', 100), ('before', gen_random_uuid(), 'user-1', 'succeeded', 50);
update usage_ledger set created_at = date_trunc('month', now(), 'UTC') - interval '1 second' where id = 'before';

select lives_ok($$select request_generation('x', 'a/b')$$, 'half a dollar is left');
select results_eq($$select my_limits() -> 'used' -> 'cost', my_limits() -> 'left' -> 'cost'$$, $$values ('4.5'::jsonb, '0.5'::jsonb)$$, 'as my_limits says');
insert into usage_ledger (id, job_id, user_id, status, cost) values ('last', gen_random_uuid(), 'user-1', 'failed', 0.6);
select throws_like($$select request_generation('x', 'a/b')$$, 'your budget for % is used: 5.10 of 5 US dollars; the next begins on % 00:00 UTC', 'now none is');
select is(my_limits() -> 'left' -> 'cost', '0', 'nor less than none');
update user_limits set over_budget = 'park';
select request_generation('parked', 'a/b') \g /dev/null
select is((select scheduled_at from job_queue where payload ->> 'prompt' = 'parked'),
  (date_trunc('month', now() at time zone 'UTC') + interval '1 month') at time zone 'UTC', 'or the request waits for the next month');
select cancel_generation(payload ->> 'generation_id') from job_queue where payload ->> 'prompt' = 'parked' \g /dev/null
select throws_like(
  $$select retry_generation(payload ->> 'generation_id') from job_queue where payload ->> 'prompt' = 'parked'$$,
  'your budget for %', 'a retry does not');
set local request.jwt.claims = '{"role": "authenticated", "sub": "user-3"}';
select lives_ok($$select request_generation('x', 'a/b')$$, 'another user has their own');
update project_budget set max_cost_per_month = 10;
select throws_like($$select request_generation('x', 'a/b')$$, 'the budget for %, all users together, is used; %', 'within that of all');
update project_budget set over_budget = 'park';
select lives_ok($$select request_generation('x', 'a/b')$$, 'where requests wait with the type');
select isnt((select paused_at from job_types where job_type = 'generate-image'), null, 'which is paused');
select * from finish();
rollback;
