-- Whatever lies in a payload, the job can be inserted, claimed and failed, so that its end is on record.
begin;
select plan(23);
set local client_min_messages = error;
alter table job_queue disable trigger check_job_payload; -- rows of before there was one
create function pg_temp.fails_with_a_reason(p_payload jsonb, p_name text) returns setof text language plpgsql as $$
declare
  v_job record;
begin
  insert into job_queue (job_type, payload) values ('generate-image', p_payload);
  select * into strict v_job from claim_next_job();
  return next is(v_job.payload, p_payload, p_name || ': claimed');
  return next is(complete_job(v_job.id, p_error => 'bad payload', p_lease_token => v_job.lease_token, p_retry => 'never'), true, p_name || ': failed');
end
$$;

select pg_temp.fails_with_a_reason('{}', 'no keys');
select pg_temp.fails_with_a_reason('[]', 'an array');
select pg_temp.fails_with_a_reason('null', 'json null');
select pg_temp.fails_with_a_reason('"text"', 'a string');
select pg_temp.fails_with_a_reason('{"generation_id": "g"}', 'no user');
select pg_temp.fails_with_a_reason('{"generation_id": {"a": 1}, "user_id": [1]}', 'ids of other types');
select pg_temp.fails_with_a_reason('{"generation_id": "../../etc", "user_id": "u"}', 'an unsafe id');
select is((select count(*) from image_generations), 0::bigint, 'none of them made a generation');
select pg_temp.fails_with_a_reason('{"generation_id": "g-1", "user_id": "u", "width": 1e300, "height": "tall", "num_inference_steps": -5, "guidance_scale": null}', 'numbers that do not fit');
select results_eq(
  'select id, width, height, steps, guidance_scale, status from image_generations',
  $$values ('g-1', null::int, null::int, null::int, null::double precision, 'failed')$$,
  'become null in the generation');

-- A table that refuses the row: the job goes on without it.
alter table image_generations add constraint no_cats check (prompt <> 'cat');
select pg_temp.fails_with_a_reason('{"generation_id": "g-2", "user_id": "u", "prompt": "cat"}', 'a row that the table refuses');
select is((select count(*) from image_generations), 1::bigint, 'no row was made for it');

-- Whatever a project's own trigger or column says against a generation, its job goes on.
create function pg_temp.refuse() returns trigger language plpgsql as $$ begin raise exception 'not enough credits'; end $$;
create trigger refuse before insert or update on image_generations for each row execute function pg_temp.refuse();
select pg_temp.fails_with_a_reason('{"generation_id": "g-refused", "user_id": "u-1"}', 'a generation that is refused');

select * from finish();
rollback;
