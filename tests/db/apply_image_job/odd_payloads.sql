-- Whatever lies in a payload, the job can be inserted, claimed and failed, so that its end is on record.
begin;
select plan(22);
set local client_min_messages = error;
alter table job_queue disable trigger process_jobs_check_payload; -- rows of before there was one
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

-- A table that refuses the row: the job is not let in, for its picture could not be recorded.
alter table image_generations add constraint no_cats check (prompt <> 'cat');
select throws_ok($$insert into job_queue (job_type, payload) values ('generate-image', '{"generation_id": "g-2", "user_id": "u", "prompt": "cat"}')$$,
  '23514', null, 'a row that the table refuses');
select is((select count(*) from image_generations), 1::bigint, 'no row was made for it');

-- One that is there already is not claimed, and waits, while its generation is refused; one that has begun goes on.
insert into job_queue (job_type, payload) values ('generate-image', '{"generation_id": "g-3", "user_id": "u-1"}');
insert into job_queue (job_type, payload, checkpoint) values ('generate-image', '{"generation_id": "g-4", "user_id": "u-1"}', '{"a": 1}');
create function pg_temp.refuse() returns trigger language plpgsql as $$ begin raise exception 'not enough credits'; end $$;
create trigger refuse before insert or update on image_generations for each row execute function pg_temp.refuse();
select results_eq('select payload ->> $$generation_id$$ from claim_next_job(p_limit => 9)', $$values ('g-4')$$, 'only what is paid for already is claimed');
select results_eq('select kind, message from process_jobs.job_troubles order by kind', $$values
  ('claim', 'it cannot be claimed: not enough credits'), ('effect', 'its generation stays as it is: not enough credits')$$, 'and both are told of');

select * from finish();
rollback;
