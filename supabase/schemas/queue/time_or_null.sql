-- time_or_null: the time that a text says, or null if it says none.
create or replace function process_jobs.time_or_null(p_text text) returns timestamptz
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return p_text::timestamptz;
exception
  when data_exception then
    return null;
end
$$;
