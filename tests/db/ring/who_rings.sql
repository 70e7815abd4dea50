-- Whoever makes a job rings: no role needs a privilege for it. The worker does not.
begin;
select plan(12);
insert into job_types (job_type) values ('work');
set local client_min_messages = warning;
select process_jobs.store_secret('the secret key');
create role maker;
grant insert on job_queue to maker;
create policy makers on job_queue for insert to maker with check (true);
create function pg_temp.calls() returns bigint language plpgsql security definer as $$
declare
  v_calls bigint;
begin
  set constraints all immediate;
  set constraints all deferred;
  perform setval('process_jobs.last_ring', 1), set_config('process_jobs.ring', '', true);
  delete from net.http_request_queue;
  get diagnostics v_calls = row_count;
  return v_calls;
end
$$;
grant execute on function pg_temp.calls() to public;

insert into job_queue (job_type) values ('work');
select is(pg_temp.calls(), 0::bigint, 'where none is scheduled nobody is called');
insert into process_jobs.scheduled_function values (true, 'https://project.example/f', 5000);
set local role maker;
insert into job_queue (job_type) values ('work');
reset role;
select is(pg_temp.calls(), 1::bigint, 'a role of the app''s own');
set local role service_role;
insert into job_queue (job_type) values ('work');
reset role;
select is(pg_temp.calls(), 1::bigint, 'service_role');
set local role service_role;
select enqueue_job('work', '{}');
reset role;
select is(pg_temp.calls(), 1::bigint, 'by the function as well');

-- The worker looks after each of its calls.
set local request.headers = '{"x-client-info": "supabase-js/2"}';
select enqueue_job('work', '{}');
select is(pg_temp.calls(), 1::bigint, 'another client of the API');
set local request.headers = '{"x-client-info": "process-jobs"}';
select enqueue_job('work', '{}');
select is(pg_temp.calls(), 0::bigint, 'not the worker');
select ok(not exists (select from process_jobs.last_ring r where r.last_value > 1), 'nor does that keep others from it');
set local request.headers = '';
update job_queue set scheduled_at = now() + interval '1 hour' where status = 'pending';
update process_jobs.waiting_jobs set due_at = now();
update job_queue set scheduled_at = now(), moves = moves + 1;
select is(pg_temp.calls(), 0::bigint, '(they fall due)');
select isnt_empty('select from claim_next_job(p_limit => 2)', 'a claim moves what has fallen due');
select is(pg_temp.calls(), 0::bigint, 'and takes it: nobody is called');

set local request.headers = 'no json';
select lives_ok($$select enqueue_job('work', '{}'), pg_temp.calls()$$, 'odd headers are no hindrance');
select unschedule_process_jobs();
set local request.headers = '';
select enqueue_job('work', '{}');
select is(pg_temp.calls(), 0::bigint, 'once it is not scheduled any more, nobody is called');
select * from finish();
rollback;
