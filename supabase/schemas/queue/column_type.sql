-- column_type: the type of a table's column; null if there is no such table or column.
create or replace function process_jobs.column_type(p_table text, p_column text) returns text
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select format_type(a.atttypid, a.atttypmod)
    from pg_catalog.pg_attribute a
    where a.attrelid = to_regclass(p_table) and a.attname = p_column and a.attnum > 0 and not a.attisdropped
  );
end
$$;
