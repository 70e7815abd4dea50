-- An outcome is refused for what check_outcomes finds, whether or not it looks plain; what it does not find is recorded.
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

create function pg_temp.refusal(p_function text, p_outcomes jsonb) returns text language plpgsql as $$
begin
  execute format('select process_jobs.%I($1)', p_function) using p_outcomes;
  return null;
exception
  when others then
    return sqlstate || ' ' || sqlerrm;
end
$$;
create temp table answers as
select o.outcomes, pg_temp.refusal('check_outcomes', o.outcomes) as checked, pg_temp.refusal('settle_jobs', o.outcomes) as settled
from odd o;
select is_empty($$select left(outcomes::text, 300), left(checked, 100), left(settled, 100) from answers
  where checked is not null and settled is distinct from checked$$, 'what is out of bounds is refused');
select is_empty($$select left(outcomes::text, 300), left(settled, 100) from answers
  where checked is null and settled is not null$$, 'what is not is recorded');
select is((select least(count(checked), count(*) - count(checked)) > 200 from answers), true, 'both are many');
select * from finish();
rollback;
