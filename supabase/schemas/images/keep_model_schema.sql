-- keep_model_schema: returns the kept schema of a model's input if it is at most a day old or p_any_age is true; null:
-- there is none.
--
-- If p_schema, a json object, is not null, keeps it as of now and returns it. Refuses (22023) any other json and one
-- larger than 1048576 bytes as text, and a p_model that does not have between 1 and 300 characters.
create or replace function public.keep_model_schema(
  p_model text,
  p_schema jsonb default null,
  p_any_age boolean default false
) returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_schema is null then
    return (
      select m.schema from process_jobs.model_schemas m
      where m.model = p_model and (p_any_age or m.fetched_at > now() - interval '1 day')
    );
  end if;
  if (length(p_model) between 1 and 300) is not true then
    raise exception 'p_model must have between 1 and 300 characters, not %', coalesce(length(p_model), 0) using errcode = '22023';
  end if;
  if jsonb_typeof(p_schema) <> 'object' then
    raise exception 'p_schema must be a json object, not %', jsonb_typeof(p_schema) using errcode = '22023';
  end if;
  if process_jobs.json_refusal('p_schema', p_schema) is not null then
    raise exception '%', process_jobs.json_refusal('p_schema', p_schema) using errcode = '22023';
  end if;
  insert into process_jobs.model_schemas (model, schema) values (p_model, p_schema)
  on conflict (model) do update set schema = excluded.schema, fetched_at = now();
  return p_schema;
end
$$;

revoke execute on function public.keep_model_schema(text, jsonb, boolean) from public, anon, authenticated;
grant execute on function public.keep_model_schema(text, jsonb, boolean) to service_role;
