-- pixels: a width or a height as the columns of the image tables hold it; null: they cannot, or it is none. For
-- record_images only.
create or replace function process_jobs.pixels(p_value jsonb) returns int
language sql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select case when jsonb_typeof(p_value) = 'number' and p_value::numeric between 0 and 2147483647 then p_value::int end
$$;
