begin;
select plan(10);
insert into usage_ledger (id, job_id, user_id, status, cost, created_at) values
  ('p1', gen_random_uuid(), 'u-1', 'succeeded', 6, now()), ('p2', gen_random_uuid(), 'u-1', 'succeeded', null, now()),
  ('p3', gen_random_uuid(), 'u-1', 'succeeded', 100, date_trunc('month', now(), 'UTC') - interval '1 second'),
  ('p4', gen_random_uuid(), 'u-2', 'succeeded', 100, now());
select is(process_jobs.check_budget('u-1', null, 'refuse'), null, 'without a budget a request may begin');
select is(process_jobs.check_budget('u-1', 6.01, 'refuse'), null, 'below it too, whatever others have used, and last month');
select throws_like($$select process_jobs.check_budget('u-1', 6, 'refuse')$$,
  'your budget for % is used: 6.00 of 6 US dollars; the next begins on %-01 00:00 UTC', 'at it, the refusal says what is used, and until when');
select throws_ok($$select process_jobs.check_budget('u-1', 6, 'refuse')$$, 'PT429', null, 'as a 429');
select throws_ok($$select process_jobs.check_budget('u-1', 6, null)$$, 'PT429', null, 'also where nothing is said');
select is(process_jobs.check_budget('u-1', 6, 'park'), date_trunc('month', now(), 'UTC') + interval '1 month', 'or it is parked until the next month, in UTC');
select is(process_jobs.check_budget('u-3', 0.01, 'refuse'), null, 'who has used nothing begins');

update project_budget set max_cost_per_month = 50;
select throws_like($$select process_jobs.check_budget('u-3', null, 'park')$$,
  'the budget for %, all users together, is used; the next begins on %-01 00:00 UTC', 'over the project''s budget each is refused');
update project_budget set over_budget = 'park';
select is(process_jobs.check_budget('u-3', null, 'refuse'), null, 'or waits with its type');

-- However many others there are.
set local role postgres;
insert into usage_ledger (id, job_id, user_id, status, cost)
select 'q' || n, gen_random_uuid(), 'u-' || n % 1000, 'succeeded', 0.01 from generate_series(1, 20000) n;
create temp table before as select pg_stat_get_xact_blocks_fetched('usage_ledger'::regclass) + pg_stat_get_xact_blocks_fetched('usage_ledger_of_user'::regclass) as blocks;
select process_jobs.check_budget('u-77', 1000, 'refuse');
select cmp_ok(pg_stat_get_xact_blocks_fetched('usage_ledger'::regclass) + pg_stat_get_xact_blocks_fetched('usage_ledger_of_user'::regclass) - (select blocks from before),
  '<', 60::bigint, 'it reads the user''s own rows');
select * from finish();
rollback;
