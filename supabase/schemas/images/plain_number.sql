-- plain_number: a json number from 0 to 2147483647; null for any other value.
create or replace function process_jobs.plain_number(p_value jsonb) returns numeric
language sql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select case when jsonb_typeof(p_value) = 'number' and p_value::numeric between 0 and 2147483647 then p_value::numeric end
$$;
