-- fitting_columns: the entries of {column: value} whose columns a table has and lets be written, each as SQL: its name,
-- and its value as a literal of its type.
--
-- A null becomes `default` in a column that does not allow null. Numbers are rounded for integer columns, and left out
-- if those cannot hold them; prompts and messages are cut to a varchar's length.
create or replace function process_jobs.fitting_columns(p_table text, p_values jsonb)
returns table (name text, literal text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- In plpgsql, which keeps its plan; in SQL each call would plan anew.
  return query
  select quote_ident(a.attname),
    case
      when v.value = 'null' then case when a.attnotnull then 'default' else 'null' end
      else format('%L::%s',
        case
          when jsonb_typeof(v.value) = 'number' and a.atttypid = any ('{int2,int4,int8}'::regtype[])
          then round((v.value #>> '{}')::numeric)::text
          else v.value #>> '{}'
        end,
        format_type(a.atttypid, case
          when a.attname in ('prompt', 'negative_prompt', 'error_message') then a.atttypmod
          when a.atttypid = 'bpchar'::regtype then a.atttypmod
        end))
    end
  from jsonb_each(p_values) v
  join pg_catalog.pg_attribute a on a.attrelid = to_regclass(p_table) and a.attname = v.key
  where a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and a.attidentity <> 'a'
    and case
      when jsonb_typeof(v.value) <> 'number' then true
      when a.atttypid = 'int2'::regtype then abs((v.value #>> '{}')::numeric) <= 32767
      when a.atttypid = 'int4'::regtype then abs((v.value #>> '{}')::numeric) <= 2147483647
      else true
    end;
end
$$;
