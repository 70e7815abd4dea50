-- version: the newest release that was installed here; null if none was.
create or replace function process_jobs.version() returns text
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select r.version from process_jobs.releases r order by string_to_array(r.version, '.')::int[] desc limit 1
$$;
