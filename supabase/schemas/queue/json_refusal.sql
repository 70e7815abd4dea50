-- json_refusal: why a worker could not read this json, or null if it can; for the functions that store it with a job.
--
-- A worker reads at most 1048576 bytes as text, 100 levels deep, numbers below 1e308. Whatever the json is, the answer
-- takes some tens of milliseconds at most.
create or replace function process_jobs.json_refusal(p_name text, p_json jsonb) returns text
language plpgsql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_text text := p_json::text;
  v_bytes int := octet_length(v_text);
begin
  return case
    -- 101 pairs of brackets around a digit are the shortest that is refused.
    when v_bytes < 203 then null
    when v_bytes > 1048576 then format('%s must have at most 1048576 bytes, not %s', p_name, v_bytes)
    when jsonb_path_exists(p_json, '$.**{101 to last}') then format('%s must be at most 100 levels deep', p_name)
    -- The two say the same: the first takes its time for every value, the second for every byte. A number of 1e308 or
    -- more has 309 digits before its point, for jsonb writes all of them; the rest is what may stand before it: strings,
    -- and what is none.
    when case
        when v_bytes < 16384 then jsonb_path_exists(p_json, 'strict $.** ? (@ >= 1e308 || @ <= -1e308)')
        else v_text ~ '^(?:(?:[^"]|"(?:[^"\\]|\\.)*")*[[ -])?[0-9]{255}[0-9]{54}'
      end then format('%s must have no number of 1e308 or more', p_name)
  end;
end
$$;
