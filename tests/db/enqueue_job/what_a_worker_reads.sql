-- Payloads are looked at in two ways, short ones by value and long ones by byte, which draw the same line.
begin;
select plan(6);
insert into job_types (job_type) values ('work');

create temp table edge (value text, refusal text);
insert into edge values
  ('1e307', null), ('9.99e307', null), ('-9.99e307', null), ('1e308', 'number'), ('-1e308', 'number'), ('1e309', 'number'),
  (repeat('9', 308), null), (repeat('9', 308) || '.' || repeat('9', 400), null), ('-' || repeat('9', 309), 'number'),
  (repeat('9', 309) || '.5', 'number'), ('0.' || repeat('9', 400), null), ('-0.' || repeat('0', 309) || '1', null),
  ('[1e308]', 'number'), ('[-1e308]', 'number'), ('[0, 1e308]', 'number'), ('{"b": {"c": [[1e308]]}}', 'number'),
  ('["\"", 1e308]', 'number'), ('["\\", 1e308]', 'number'), ('["\\\"", 1e308, "\""]', 'number'), ('{"\\": 1e308}', 'number'),
  (format('"%s"', repeat('9', 309)), null), (format('"[%s]"', repeat('9', 309)), null), (format('{" %s": "\" -%1$s"}', repeat('9', 309)), null),
  (format('["\\\\\" %s", 1]', repeat('9', 309)), null), (format('["\\", " %s", "\\\"", ", %1$s"]', repeat('9', 309)), null),
  (repeat('[', 99) || '1' || repeat(']', 99), null), (repeat('[', 100) || '1' || repeat(']', 100), 'levels'),
  (repeat('[', 100) || ']' || repeat(']', 99), null), (repeat('[', 101) || ']' || repeat(']', 100), 'levels'),
  (repeat('{"a": ', 99) || '1' || repeat('}', 99), null), (repeat('{"a": ', 100) || '1' || repeat('}', 100), 'levels'),
  (repeat('[0, ', 99) || '1' || repeat(']', 99), null), (repeat('[0, ', 100) || '1' || repeat(']', 100), 'levels'),
  (format('"%s"', repeat('[', 101) || repeat(']', 101)), null), (format('["\"%s"]', repeat('{[', 101)), null),
  ('[' || repeat('[[]], ', 200) || '0]', null);
create function pg_temp.refusal(p_payload jsonb) returns text language plpgsql as $$
begin
  perform enqueue_job('work', p_payload);
  return null;
exception
  when invalid_parameter_value then
    return sqlerrm;
end
$$;
create temp view seen as
  select e.value, p.around, pg_temp.refusal(format(p.around, e.value)::jsonb) as refusal,
    case e.refusal when 'number' then 'payload must have no number of 1e308 or more' when 'levels' then 'payload must be at most 100 levels deep' end as meant
  from edge e
  cross join (values
    ('{"a": %s}'), (format('{"a": %%s, "more": "%s"}', repeat('x', 20000))), (format('{"a": "%s", "b": %%s}', repeat('\"', 10000))),
    (format('{"a": [%s], "b": %%s}', repeat('1, ', 9999) || '1'))) p (around);
select is_empty(
  $$select left(value, 100), left(around, 20), refusal, meant from seen where refusal is distinct from meant$$,
  'a number of 1e308 and a level of 101 are refused, wherever they are, and nothing else is');

-- The shortest of all.
select lives_ok(format($$select enqueue_job('work', '{"":%s}')$$, repeat('[', 99) || '1' || repeat(']', 99)), '100 levels are taken');
select throws_ok(format($$select enqueue_job('work', '{"":%s}')$$, repeat('[', 100) || '1' || repeat(']', 100)), '22023', 'payload must be at most 100 levels deep');

select lives_ok($$select enqueue_job('work', jsonb_build_object('a', repeat('a', 1048567)))$$, '1 MiB is taken');
select throws_ok(
  $$select enqueue_job('work', jsonb_build_object('a', repeat('a', 1048568)))$$, '22023', 'payload must have at most 1048576 bytes, not 1048577');
select throws_ok(
  $$select enqueue_job('work', jsonb_build_object('a', repeat('ü', 524284)))$$, '22023', 'payload must have at most 1048576 bytes, not 1048577',
  'bytes are counted, not characters');

select * from finish();
rollback;
