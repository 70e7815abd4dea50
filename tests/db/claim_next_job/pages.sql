-- Pages that a claim reads, index entries that it passes over included, counted by the server: however much waits
-- before and behind what is claimed, about as many as for one job alone.
-- (Emptied, so that its files have none of what other tests have left.)
begin;
truncate job_queue;
select plan(11);
insert into job_types (job_type) values ('work'), ('held');
create function pg_temp.pages_read(p_query text) returns int language plpgsql as $$
declare
  v_plan json;
begin
  execute 'explain (analyze, buffers, costs off, timing off, format json) ' || p_query into v_plan;
  return (v_plan #>> '{0,Plan,Shared Hit Blocks}')::int + (v_plan #>> '{0,Plan,Shared Read Blocks}')::int;
end
$$;
create function pg_temp.fill(p_jobs int, p_type text, p_priority int, p_due interval, p_status text) returns void language sql as
$$ insert into job_queue (job_type, priority, created_at, scheduled_at, status)
   select p_type, p_priority, now() - interval '1 day', now() + p_due, p_status from generate_series(1, p_jobs) $$;
-- (Once more where it is many: after changes of schemas anywhere in the cluster a session reads the catalogues anew.)
create function pg_temp.claim() returns int language sql as $$
  select case when n < 250 then n else pg_temp.pages_read('select claim_next_job()') end
  from pg_temp.pages_read('select claim_next_job()') n
$$;

select pg_temp.fill(20, 'work', 0, '-1 day', 'pending');
select pg_temp.claim(); -- the first of a session also reads the catalogues
select cmp_ok(pg_temp.claim(), '<', 250, 'alone');
select pg_temp.fill(100000, 'work', 0, '-1 day', 'pending');
select cmp_ok(pg_temp.claim(), '<', 250, 'before 100,000 ready ones');
select pg_temp.fill(100000, 'work', 0, '-1 day', 'completed');
select cmp_ok(pg_temp.claim(), '<', 250, 'among 100,000 that have ended');
select pg_temp.fill(100000, 'held', 9, '-1 day', 'pending');
update job_types set held_until = now() + interval '1 hour' where job_type = 'held';
select cmp_ok(pg_temp.claim(), '<', 250, 'behind 100,000 of a held type');
select pg_temp.fill(100000, 'work', 9, '1 day', 'pending');
select cmp_ok(pg_temp.claim(), '<', 250, 'behind 100,000 of its type scheduled for later');
select pg_temp.fill(1, 'work', 9, '-1 hour', 'pending');
select cmp_ok(pg_temp.claim(), '<', 250, 'and one delayed job behind them is found');
select is((select count(*) from job_queue where status = 'processing' and priority = 9), 1::bigint, 'it was claimed, being of a higher priority');
select pg_temp.fill(100, 'work', 5, '-1 hour', 'pending');
select cmp_ok(pg_temp.claim(), '<', 300, 'of a hundred delayed ones each is looked at');
select seconds_until_next_job();
select cmp_ok(pg_temp.pages_read('select seconds_until_next_job()'), '<', 250, 'seconds_until_next_job');
-- The same when the planner has learnt what the tables hold.
analyze job_queue, job_types, process_jobs.ready_jobs, process_jobs.waiting_jobs, process_jobs.leases, process_jobs.job_troubles;
select pg_temp.claim(), seconds_until_next_job() \g /dev/null
select cmp_ok(pg_temp.claim(), '<', 300, 'a claim, with statistics');
select cmp_ok(pg_temp.pages_read('select seconds_until_next_job()'), '<', 250, 'and seconds_until_next_job');
select * from finish();
rollback;
