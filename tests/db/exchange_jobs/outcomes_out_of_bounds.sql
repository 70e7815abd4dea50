-- An outcome is refused for what check_outcomes finds; what it does not find is recorded.
begin;
select plan(3);
insert into job_types (job_type) values ('work');

create temp table odd as
select jsonb_build_array('{"delay_seconds": 5, "error": "e"}'
  || jsonb_build_object(
    'job_id', '00000000-0000-0000-0000-000000000001', 'lease_token', '00000000-0000-0000-0000-000000000002', 'outcome', o.outcome)
  || jsonb_build_object(f.field, v.value)) as outcomes
from unnest('{completed,failed,snoozed,cancelled}'::text[]) o (outcome)
cross join unnest('{job_id,lease_token,outcome,follow_ups,error,retry,delay_seconds,checkpoint,progress}'::text[]) f (field)
cross join unnest(array[
  'null', 'true', '""', '"text"', '"never"', '"5"', '"NaN"', '"Infinity"', '"00000000-0000-0000-0000-000000000003"', '-1', '0', '2.5', '100',
  '101', '2592000', '2592001', '[]', '["a"]', '[[]]', '{}', '{"a": {"b": [1]}}', '{"a": 1e308}', '{"a": [1e308]}', '{"a": [[[1e308]]]}',
  '1e308', '[1e308]', repeat('[', 101) || repeat(']', 101), '{"a": ' || repeat('[', 101) || repeat(']', 101) || '}',
  repeat('{"a":', 101) || '1' || repeat('}', 101), '{"a": "' || repeat('b', 1048570) || '"}'
]::jsonb[]) v (value);

insert into job_queue (id, job_type, status, attempt_number, lease_token, lease_expires_at)
values ('00000000-0000-0000-0000-000000000001', 'work', 'processing', 1, '00000000-0000-0000-0000-000000000002', now() + interval '1 minute');

-- What a function answers or refuses, with its effects undone.
create function pg_temp.answer(p_function text, p_outcomes jsonb) returns text language plpgsql as $$
declare
  v_answer text;
begin
  execute format('select process_jobs.%I($1)', p_function) into v_answer using p_outcomes;
  raise exception '%', v_answer using errcode = 'UNDOE';
exception
  when others then
    return case when sqlstate = 'UNDOE' then sqlerrm else sqlstate || ' ' || sqlerrm end;
end
$$;
create temp table answers as
select o.outcomes, pg_temp.answer('check_outcomes', o.outcomes) as checked, pg_temp.answer('settle_jobs', o.outcomes) as settled,
  case when o.outcomes::text ~ '0001".*0002"' then '{t}' else '{f}' end as recorded
from odd o;
select is_empty($$select left(outcomes::text, 300), left(checked, 100), left(settled, 100) from answers
  where checked <> '' and settled is distinct from checked$$, 'what is out of bounds is refused');
select is_empty($$select left(outcomes::text, 300), left(settled, 100) from answers
  where checked = '' and settled is distinct from recorded
    -- (By enqueue_follow_ups.)
    and settled not like '22023 p_follow_ups must hold json objects%'$$, 'what is not is recorded');
select is((select least(count(*) filter (where checked <> ''), count(*) filter (where settled = '{t}')) > 200 from answers), true,
  'both are many');
select * from finish();
rollback;
