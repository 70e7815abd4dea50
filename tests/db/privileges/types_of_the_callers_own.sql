-- A role with nothing but EXECUTE makes types, functions, operators and views of names that the functions use, all of
-- which call a function of its own: as their owner that never runs, whether they were called before or not.
begin;
select plan(5);
insert into job_types (job_type, starts_per_minute) values ('work', 600);
insert into user_limits (applies_to, max_open, max_per_day, allowed_models) values ('all', 9, 9, '{a/b}');
set local request.jwt.claims = '{"sub": "u", "app_metadata": {"plan": "pro"}}';
create role attacker;
grant usage on schema public to attacker;
create temp table calls as
select p.oid, p.proname::text as name
from pg_proc p
where p.pronamespace = 'public'::regnamespace
  and (has_function_privilege('service_role', p.oid, 'execute') or has_function_privilege('authenticated', p.oid, 'execute'))
  and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e');
select format('grant execute on function %s to attacker', string_agg(oid::regprocedure::text, ', ')) from calls \gexec

create temp sequence ran_as_owner;
grant usage on sequence ran_as_owner to public;
create function pg_temp.seen() returns boolean language plpgsql as $$
begin
  if current_user <> 'attacker' then
    perform pg_catalog.nextval('pg_temp.ran_as_owner');
  end if;
  return true;
end
$$;
create function pg_temp.times_run() returns bigint language sql as
$$ select case when is_called then last_value else 0 end from pg_temp.ran_as_owner $$;

-- One statement a line, each on its own. Whatever they answer, and whether they fail, is their own matter.
create temp table statements (n int generated always as identity, sql text, functions text[]);
insert into statements (sql, functions) values
  ($$select public.enqueue_job('generate-image', '{"generation_id": "g", "user_id": "u", "width": 8}', 5, 3, pg_catalog.now(), 'k')$$, '{enqueue_job}'),
  ($$select public.enqueue_job('download-image', '{"generation_id": "g-2", "user_id": "u"}')$$, '{enqueue_job}'),
  ($$select public.enqueue_job('work', '{}') from pg_catalog.generate_series(1, 8)$$, '{enqueue_job}'),
  ($$select public.enqueue_jobs('[{"job_type": "work", "payload": {}, "priority": 1, "scheduled_at": "2020-01-01", "unique_key": "k"}, {"job_type": "generate-image", "payload": {"generation_id": "g-3", "user_id": "u"}}]')$$, '{enqueue_jobs}'),
  ($$select public.snooze_job(c.id, c.lease_token, 60, '{"prediction_id": "p"}', 10, true, 'no credit') from public.claim_next_job('{generate-image}') c$$, '{claim_next_job,snooze_job}'),
  ($$select public.resume_job_type('generate-image'), public.pause_job_type('work', 'x'), public.resume_job_type('work')$$, '{pause_job_type,resume_job_type}'),
  ($$select public.complete_job(c.id, '{"storage_path": "u/g.png", "filename": "g.png", "width": 8}', p_lease_token => c.lease_token,
      p_follow_ups => '[{"job_type": "work", "payload": {}}]') from public.claim_next_job('{download-image}') c$$, '{complete_job}'),
  ($$select public.complete_job(c.id, p_error => 'no', p_lease_token => c.lease_token, p_retry => 'never') from public.claim_next_job('{work}', 2, 60) c$$, '{complete_job}'),
  ($$select public.heartbeat_job(c.id, c.lease_token, 60, 10), public.wake_job(c.id, '{"a": 1}'), public.cancel_job(c.id) from public.claim_next_job('{work}') c$$, '{heartbeat_job,wake_job,cancel_job}'),
  ($$select public.exchange_jobs((select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('outcome', 'snoozed', 'job_id', c.id, 'lease_token', c.lease_token,
      'delay_seconds', case when c.n = 1 then 0 else -1 end)) from (select c.*, pg_catalog.row_number() over () as n from public.claim_next_job('{work}', 2) c) c), null, 1)$$, '{exchange_jobs}'),
  ($$select public.seconds_until_next_job(), public.queue_stats(), public.queue_metrics()$$, '{seconds_until_next_job,queue_stats,queue_metrics}'),
  ($$select public.keep_model_schema('a/b', '{}'), public.keep_model_schema('a/b')$$, '{keep_model_schema}'),
  ($$select public.redrive_failed_jobs('work', pg_catalog.now() - interval '1 day', 1, 3)$$, '{redrive_failed_jobs}'),
  ($$select public.report_progress(j.id, 5, 1) from public.enqueue_job('work', '{}') j (id)$$, '{report_progress}'),
  ($$select public.retry_job('00000000-0000-0000-0000-000000000000')$$, '{retry_job}'),
  ($$select public.change_priority('00000000-0000-0000-0000-000000000000', 1)$$, '{change_priority}'),
  ($$select public.claim_next_job(p_worker => '{"version": "0.1.0"}')$$, '{claim_next_job}'),
  ($$select public.process_jobs_doctor()$$, '{process_jobs_doctor}'),
  ($$select public.get_generation(g ->> 'id'), public.cancel_generation(g ->> 'id'), public.retry_generation(g ->> 'id'), public.my_limits() from public.request_generation('x', 'a/b',
      '{"width": 8, "idempotency_key": "k", "source_image_url": "https://a.example/storage/v1/object/b/c"}') g$$, '{get_generation,cancel_generation,retry_generation,my_limits,request_generation}'),
  ($$select public.get_generation(g ->> 'id'), public.cancel_generation(g ->> 'id'), public.retry_generation(g ->> 'id'), public.my_limits() from public.request_generation('x', 'a/b',
      '{"width": 8, "idempotency_key": "k", "source_image_urls": ["https://a.example/b%20c"]}') g$$, '{get_generation,cancel_generation,retry_generation,my_limits,request_generation}'),
  ($$select public.prune_jobs(pg_catalog.now() - interval '1 day', 10)$$, '{prune_jobs}'),
  ($$select public.schedule_process_jobs('https://project.example/f', 'k'), public.unschedule_process_jobs()$$, '{schedule_process_jobs,unschedule_process_jobs}');
grant select on statements to attacker;
select set_eq('select unnest(functions) from statements', 'select name from calls', 'every function that service_role or authenticated may execute is called');

create function pg_temp.call_all() returns void language plpgsql as $$
declare
  v_sql pg_catalog.text;
begin
  for v_sql in select s.sql from pg_temp.statements s order by s.n loop
    begin
      execute v_sql;
    exception
      when others then
        null;
    end;
  end loop;
end
$$;

create function pg_temp.make_names() returns void language plpgsql as $$
declare
  v_name pg_catalog.name;
begin
  for v_name in
    select t.typname from pg_catalog.pg_type t
    where t.typnamespace operator(pg_catalog.=) 'pg_catalog'::pg_catalog.regnamespace and t.typtype operator(pg_catalog.=) 'b'
      and t.typelem operator(pg_catalog.=) 0
  loop
    execute pg_catalog.format('create domain pg_temp.%I as pg_catalog.%I check (pg_temp.seen())', v_name, v_name);
  end loop;
  foreach v_name in array '{job_queue,job_types,image_generations,images,job_troubles,model_schemas,pg_extension,pg_attribute,user_limits,requests}'::pg_catalog.name[] loop
    execute pg_catalog.format('create view pg_temp.%I as select pg_temp.seen()', v_name);
  end loop;
  create function pg_temp.now() returns pg_catalog.timestamptz language sql as 'select pg_catalog.now() where pg_temp.seen()';
  create function pg_temp.length(pg_catalog.text) returns pg_catalog.int4 language sql as 'select 1 where pg_temp.seen()';
  create function pg_temp.format(pg_catalog.text, variadic pg_catalog.text[]) returns pg_catalog.text language sql as 'select $1 where pg_temp.seen()';
  create function pg_temp.same(pg_catalog.text, pg_catalog.text) returns pg_catalog.bool language sql as 'select pg_temp.seen()';
  create operator pg_temp.= (leftarg = pg_catalog.text, rightarg = pg_catalog.text, function = pg_temp.same);
end
$$;
-- That it would be seen.
create function public.unsafe() returns boolean language plpgsql security definer set search_path = '' as $$
declare
  v_id uuid := '00000000-0000-0000-0000-000000000000';
begin
  return v_id is not null;
end
$$;
grant execute on function public.unsafe() to attacker;

-- (What pgTAP itself would take for its types is no matter of ours: it is not called while they are there.)
savepoint clean;
set local role attacker;
set local search_path = pg_temp, public;
select pg_temp.make_names();
select pg_temp.call_all();
reset role;
select pg_temp.times_run() as times_run \gset
rollback to clean;
select is(:times_run, 0, 'of functions not called before');

set local role attacker;
select pg_temp.call_all();
set local search_path = pg_temp, public;
select pg_temp.make_names();
select pg_temp.call_all();
reset role;
select pg_temp.times_run() as times_run, count(*) as begun from public.job_queue where attempt_number > 0 \gset
set local role attacker;
select public.unsafe();
reset role;
select pg_temp.times_run() as times_run_unsafe \gset
rollback to clean;
select is(:times_run, 0, 'of functions called before');
select cmp_ok(:begun, '>', 5, 'they did what they do');
select cmp_ok(:times_run_unsafe, '>', 0, 'with search_path = '''' it would have run');
select * from finish();
rollback;
