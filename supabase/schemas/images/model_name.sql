-- model_name: the name in `owner/name` or `owner/name:version`.
create or replace function process_jobs.model_name(p_model_id text) returns text
language sql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select split_part(substring(p_model_id from '[^/]*$'), ':', 1)
$$;
