-- A caller's own types are not taken for those of the functions: they are looked for in pg_catalog first.
begin;
select plan(4);
insert into job_types (job_type) values ('work');
create role attacker;
grant usage on schema public to attacker;
grant execute on function enqueue_job(text, jsonb, int, int, timestamptz, text), claim_next_job(text[], int, int),
  complete_job(uuid, jsonb, text, uuid, text, text, jsonb), queue_stats() to attacker;
set local role attacker;
create function pg_temp.seen(text) returns boolean language plpgsql as $$
begin
  raise exception 'ran as %', current_user;
end
$$;
create domain pg_temp.uuid as pg_catalog.uuid check (pg_temp.seen(value::pg_catalog.text));
create domain pg_temp.text as pg_catalog.text check (pg_temp.seen(value::pg_catalog.text));
create domain pg_temp.jsonb as pg_catalog.jsonb check (pg_temp.seen(value::pg_catalog.text));
create domain pg_temp.timestamptz as pg_catalog.timestamptz check (pg_temp.seen(value::pg_catalog.text));
create domain pg_temp.int4 as pg_catalog.int4 check (pg_temp.seen(value::pg_catalog.text));
create domain pg_temp.bool as pg_catalog.bool check (pg_temp.seen(value::pg_catalog.text));
create domain pg_temp.interval as pg_catalog.interval check (pg_temp.seen(value::pg_catalog.text));
select public.enqueue_job('work', '{}', p_unique_key => 'a') as id \gset
select lease_token from public.claim_next_job() \gset
select public.complete_job(:'id', p_error => 'no', p_lease_token => :'lease_token') as recorded \gset
select public.queue_stats() is not null as counted \gset
drop domain pg_temp.uuid, pg_temp.text, pg_temp.jsonb, pg_temp.timestamptz, pg_temp.int4, pg_temp.bool, pg_temp.interval;
reset role;
select isnt(:'id'::pg_catalog.text, null, 'enqueue_job');
select isnt(:'lease_token'::pg_catalog.text, null, 'claim_next_job');
select is(:'recorded'::pg_catalog.bool, true, 'complete_job');
select is(:'counted'::pg_catalog.bool, true, 'queue_stats');
select * from finish();
rollback;
