begin;
select plan(18);
create function pg_temp.reason() returns text language sql as $$ select paused_reason from job_types where job_type = 'generate-image' $$;
create function pg_temp.use(p_id text, p_cost numeric, p_at timestamptz default now()) returns void language sql as $$
  insert into usage_ledger (id, job_id, user_id, status, cost, created_at) values (p_id, gen_random_uuid(), 'u-1', 'succeeded', p_cost, p_at) $$;
create function pg_temp.event(p_id text) returns void language sql as $$
  select wake_job(gen_random_uuid(), '{}', p_usage => jsonb_build_array(jsonb_build_object('id', p_id, 'status', 'succeeded', 'images', 1000, 'model', 'black-forest-labs/flux-schnell'))) $$;

select pg_temp.use('last-month', 1000, date_trunc('month', now(), 'UTC') - interval '1 second');
select pg_temp.use('first', 6, date_trunc('month', now(), 'UTC'));
update project_budget set max_cost_per_month = 10;
select is(pg_temp.reason(), null, 'below its budget nothing is paused, whatever last month was');
select pg_temp.event('e1');
select is(pg_temp.reason(), null, 'nor by what is recorded');
select pg_temp.event('e2');
select is(pg_temp.reason(), null, 'it is looked at every few seconds');
update project_budget set look_again_at = '-infinity';
select pg_temp.event('e2');
select matches(pg_temp.reason(),
  '^the project''s budget for \w+ \d{4} is used: 12.00 of 10 US dollars; it goes on by itself on \d{4}-\d\d-01 \(UTC\), or when project_budget is raised$',
  'over it, what is recorded pauses the type, with a reason');
select cmp_ok((select look_again_at from project_budget), '>', clock_timestamp() + interval '3 seconds', 'and the next look is due in a while');
update project_budget set max_cost_per_month = 20;
select is(pg_temp.reason(), null, 'raised: it goes on at once');
update project_budget set max_cost_per_month = 0;
select matches(pg_temp.reason(), 'is used', 'a budget of nothing is used');
update project_budget set max_cost_per_month = null;
select is(pg_temp.reason(), null, 'without one it goes on');

-- The new month: this one's costs were the last one's.
update project_budget set max_cost_per_month = 10;
update usage_ledger set created_at = created_at - interval '2 months';
update project_budget set look_again_at = now();
select process_jobs.tick('https://a', 5000);
select is(pg_temp.reason(), null, 'a tick of the new month resumes it');
select pg_temp.use('more', 100);
update project_budget set look_again_at = now();
select claim_next_job(p_worker => '{"version": "0.1.0", "needs": "0.1.0", "webhooks": false, "bucket": "b"}');
select matches(pg_temp.reason(), 'is used', 'a drain looks too');

-- Other pauses.
update project_budget set max_cost_per_month = 1000;
select pause_job_type('generate-image', 'by hand');
update project_budget set max_cost_per_month = 1;
select is(pg_temp.reason(), 'by hand', 'a pause by a person keeps its reason');
update project_budget set max_cost_per_month = 1000;
select is(pg_temp.reason(), 'by hand', 'and stays');
select resume_job_type('generate-image');
update project_budget set max_cost_per_month = 1;
select matches(pg_temp.reason(), 'is used', 'once resumed it is paused again');

-- What the app's own triggers refuse.
select enqueue_job('generate-image', '{"generation_id": "g-1", "user_id": "u-1"}') as id \gset
update job_queue set started_at = now() where id = :'id';
create function pg_temp.refuse() returns trigger language plpgsql as $$ begin raise exception 'not now'; end $$;
create trigger refuse before update of started_at on job_queue for each row execute function pg_temp.refuse();
set local client_min_messages = error;
select lives_ok('update project_budget set max_cost_per_month = 1000', 'a type that cannot be resumed refuses nothing');
set local client_min_messages = warning;
select matches(pg_temp.reason(), 'is used', 'it stays paused');
drop trigger refuse on job_queue;
select process_jobs.look_at_budget(true);
select results_eq(format('select t.paused_at, j.started_at from job_types t, job_queue j where t.job_type = ''generate-image'' and j.id = %L', :'id'),
  'values (null::timestamptz, null::timestamptz)', 'until it can be, and then its jobs'' time has not passed');
select throws_ok($$update project_budget set max_cost_per_month = 'NaN'$$, '23514', null, 'a budget is a number');
select throws_ok($$insert into project_budget values (false)$$, '23514', null, 'there is one');
select * from finish();
rollback;
