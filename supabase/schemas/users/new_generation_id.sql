-- new_generation_id: an id for a new generation, as the column's own default or identity makes it; without one, or
-- without the table, a random uuid.
create or replace function process_jobs.new_generation_id() returns text
language plpgsql
security definer
-- The app's own functions run here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
as $$
declare
  v_table regclass := to_regclass('public.image_generations');
  v_default text := (
    select coalesce(pg_get_expr(d.adbin, d.adrelid), case when a.attidentity <> '' then format('nextval(%L)', pg_get_serial_sequence(v_table::text, 'id')) end)
    from pg_catalog.pg_attribute a
    left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = v_table and a.attname = 'id' and not a.attisdropped
  );
  v_id text;
begin
  execute format('select (%s)::text', coalesce(v_default, 'gen_random_uuid()')) into v_id;
  return v_id;
end
$$;
