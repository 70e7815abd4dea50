-- read_options: p_options of request_generation as fields of a payload, without nulls, and with whole numbers written as
-- such.
--
-- Types and ranges are those that a worker checks (src/models/request.rs), so that nothing is enqueued that must fail at
-- once. Refuses (22023) any other field, naming those that there are.
create or replace function process_jobs.read_options(p_options jsonb) returns jsonb
language plpgsql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_options jsonb;
  v_option record;
  v_number numeric;
  v_wanted text;
  v_max_sources constant int := 20;
begin
  if jsonb_typeof(p_options) <> 'object' then
    raise exception 'p_options must be a json object, not %', jsonb_typeof(p_options) using errcode = '22023';
  elsif process_jobs.json_refusal('p_options', p_options) is not null then
    raise exception '%', process_jobs.json_refusal('p_options', p_options) using errcode = '22023';
  end if;
  v_options := coalesce(jsonb_strip_nulls(p_options), '{}');

  for v_option in
    select o.key, o.value, o.value #>> '{}' as text, jsonb_typeof(o.value) as type, known.kind, known.low, known.high
    from jsonb_each(v_options) o
    left join (values
      ('negative_prompt', 'text', null, null), ('width', 'whole', 1, 16384), ('height', 'whole', 1, 16384),
      ('num_inference_steps', 'whole', 0, 4294967295), ('guidance_scale', 'number', 0, null),
      ('seed', 'whole', -9223372036854775808, 9223372036854775807), ('output_format', 'format', null, null),
      ('num_outputs', 'whole', 1, 10), ('source_image_url', 'text', 1, null), ('source_image_urls', 'texts', null, null),
      ('strength', 'number', 0, 1), ('priority', 'whole', -2147483648, 2147483647), ('idempotency_key', 'text', 1, 200),
      ('notify_url', 'text', 1, 2048)
    ) known (name, kind, low, high) on known.name = o.key
  loop
    v_number := case when v_option.type = 'number' then v_option.value::numeric end;
    v_wanted := case
      when v_option.kind in ('whole', 'number') and (
        v_number >= v_option.low and v_number <= coalesce(v_option.high, v_number)
        and (v_option.kind = 'number' or v_number = trunc(v_number))) is not true
      then concat_ws(' ', case v_option.kind when 'whole' then 'a whole number' else 'a number' end,
        'from', v_option.low, case when v_option.high is null then 'up' else 'to ' || v_option.high end)
      when v_option.kind = 'text' and v_option.type <> 'string' then 'a string'
      when v_option.kind = 'text' and not length(v_option.text) between coalesce(v_option.low, 0) and coalesce(v_option.high, 1048576)
      then format('a string of %s characters', concat_ws(' to ', v_option.low, coalesce(v_option.high, 1048576)))
      when v_option.kind = 'format' and (v_option.type = 'string' and v_option.text in ('png', 'jpg', 'jpeg', 'webp')) is not true
      then 'png, jpg, jpeg or webp'
      when v_option.kind = 'texts' and (
        v_option.type = 'array' and jsonb_array_length(case v_option.type when 'array' then v_option.value else '[]' end) between 1 and v_max_sources
        and not jsonb_path_exists(v_option.value, 'strict $[*] ? (@.type() != "string")')) is not true
      then format('a list of 1 to %s strings', v_max_sources)
    end;
    if v_option.kind is null then
      raise exception 'p_options: % is not an option, known are negative_prompt, width, height, num_inference_steps, guidance_scale, seed, output_format, num_outputs, source_image_url, source_image_urls, strength, priority, idempotency_key and notify_url',
        left(to_json(v_option.key)::text, 100) using errcode = '22023';
    elsif v_wanted is not null then
      raise exception 'p_options: % must be %, found %', v_option.key, v_wanted, case
          when v_option.type = 'number' then left(v_option.text, 100)
          when v_option.type = 'string' and v_option.kind in ('text', 'format') then 'another'
          else 'a json ' || v_option.type
        end
        using errcode = '22023';
    elsif v_option.kind = 'whole' then
      v_options := jsonb_set(v_options, array[v_option.key], to_jsonb(trunc(v_number)));
    end if;
  end loop;
  if v_options ?& '{source_image_url,source_image_urls}' then
    raise exception 'p_options: source_image_url and source_image_urls are both there' using errcode = '22023';
  end if;
  if v_options ? 'notify_url'
    and process_jobs.address_refusal('p_options: notify_url', v_options ->> 'notify_url', true) is not null
  then
    raise exception '%', process_jobs.address_refusal('p_options: notify_url', v_options ->> 'notify_url', true)
      using errcode = '22023';
  end if;
  return v_options;
end
$$;
