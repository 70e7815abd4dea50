-- image_tables_shape: a text that changes whenever the image tables change: their columns, defaults, constraints,
-- triggers, trigger functions, enums, and image_writers.
create or replace function process_jobs.image_tables_shape() returns text
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  with tables as (
    select t.oid from (values (to_regclass('public.image_generations')), (to_regclass('public.images'))) t (oid)
    where t.oid is not null
  ), parts as (
    select format('%s %s %s', a.attrelid, a.attnum, a.xmin) as part
    from pg_catalog.pg_attribute a where a.attrelid in (select oid from tables)
    union all
    select format('%s %s', d.oid, d.xmin) from pg_catalog.pg_attrdef d where d.adrelid in (select oid from tables)
    union all
    select format('%s %s', c.oid, c.xmin) from pg_catalog.pg_constraint c where c.conrelid in (select oid from tables)
    union all
    select format('%s %s %s', t.oid, t.xmin, p.xmin)
    from pg_catalog.pg_trigger t join pg_catalog.pg_proc p on p.oid = t.tgfoid
    where t.tgrelid in (select oid from tables)
    union all
    select format('%s %s', e.oid, e.xmin)
    from pg_catalog.pg_enum e
    where e.enumtypid in (select a.atttypid from pg_catalog.pg_attribute a where a.attrelid in (select oid from tables))
    union all
    select format('%s %s', w.writes, w.xmin) from process_jobs.image_writers w
  )
  select coalesce(md5(string_agg(p.part, ',' order by p.part)), '') from parts p
$$;
