-- keep_model_schema: the published schema of a model's input that was kept within a day, or, where p_any_age, ever;
-- null: there is none.
--
-- p_schema not null, a json object: kept as of now, and answered. Refuses (22023) one of another kind or larger
-- than 1048576 bytes as text, and a p_model that has not between 1 and 300 characters.
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
  if octet_length(p_schema::text) > 1048576 then
    raise exception 'p_schema must have at most 1048576 bytes, not %', octet_length(p_schema::text) using errcode = '22023';
  end if;
  insert into process_jobs.model_schemas (model, schema) values (p_model, p_schema)
  on conflict (model) do update set schema = excluded.schema, fetched_at = now();
  return p_schema;
end
$$;

revoke execute on function public.keep_model_schema(text, jsonb, boolean) from public, anon, authenticated;
grant execute on function public.keep_model_schema(text, jsonb, boolean) to service_role;
