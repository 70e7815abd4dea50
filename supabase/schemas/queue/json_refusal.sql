-- json_refusal: why a worker could not read this json, or null if it can; for the functions that store it with a job.
--
-- A worker reads at most 1048576 bytes as text, 100 levels deep, numbers below 1e308.
create or replace function process_jobs.json_refusal(p_name text, p_json jsonb) returns text
language plpgsql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when octet_length(p_json::text) > 1048576 then
      format('%s must have at most 1048576 bytes, not %s', p_name, octet_length(p_json::text))
    when jsonb_path_exists(p_json, '$.**{101 to last}') then format('%s must be at most 100 levels deep', p_name)
    when jsonb_path_exists(p_json, '$.** ? (@.type() == "number" && @.abs() >= 1e308)') then
      format('%s must have no number of 1e308 or more', p_name)
  end;
end
$$;
