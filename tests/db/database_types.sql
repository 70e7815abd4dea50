-- The `Database` type that supabase-js takes, of our tables and functions, in the form of `supabase gen types`:
-- npm/database.d.ts.
with recursive typescript(oid, name) as (
  select t.oid, case
    when t.typname in ('int2', 'int4', 'int8', 'float4', 'float8', 'numeric') then 'number'
    when t.typname = 'bool' then 'boolean'
    when t.typname in ('json', 'jsonb') then 'Json'
    when t.typname = 'void' then 'undefined'
    when r.relname is not null and r.relkind = 'r' then format('Database["public"]["Tables"]["%s"]["Row"]', r.relname)
    else 'string'
  end
  from pg_type t
  left join pg_class r on r.oid = t.typrelid
  where t.typelem = 0 or t.typlen > 0
),
type_of as (
  select oid, name from typescript
  union all
  select a.oid, t.name || '[]' from pg_type a join typescript t on t.oid = a.typelem where a.typlen < 0 and a.typelem <> 0
),
columns as (
  select c.relname, a.attnum, a.attname,
    -- A check that lists texts lists all that there are.
    coalesce((
      select string_agg(format('"%s"', word[1]), ' | ')
      from pg_constraint k, regexp_matches(pg_get_constraintdef(k.oid), '''(\w+)''::text', 'g') word
      where k.conrelid = c.oid and k.contype = 'c' and k.conkey = array[a.attnum] and t.name = 'string'
        and pg_get_constraintdef(k.oid) like '%= ANY (ARRAY[%'
    ), (
      -- A job's status is checked by a function.
      select string_agg(format('"%s"', word[1]), ' | ')
      from pg_proc p, regexp_matches(substring(p.prosrc from 'status not in \(([^)]*)'), '''(\w+)''', 'g') word
      where p.proname = 'check_job' and c.relname = 'job_queue' and a.attname = 'status'
    ), t.name) || case when a.attnotnull then '' else ' | null' end as type,
    a.attnotnull and not a.atthasdef and a.attidentity = '' as is_required,
    a.attgenerated <> '' as is_generated
  from pg_class c
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  join type_of t on t.oid = a.atttypid
  where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
),
tables as (
  select format(e'      %s: {\n        Row: {\n%s        };\n        Insert: {\n%s        };\n        Update: {\n%s        };\n        Relationships: [];\n      };\n',
    relname,
    string_agg(format(e'          %s: %s;\n', attname, type), '' order by attnum),
    string_agg(format(e'          %s%s: %s;\n', attname, case when is_required then '' else '?' end, type), '' order by attnum)
      filter (where not is_generated),
    string_agg(format(e'          %s?: %s;\n', attname, type), '' order by attnum) filter (where not is_generated)
  ) as text, relname
  from columns
  group by relname
),
views as (
  select c.relname, format(e'      %s: {\n        Row: {\n%s        };\n        Relationships: [];\n      };\n', c.relname,
    string_agg(format(e'          %s: %s | null;\n', a.attname, t.name), '' order by a.attnum)) as text
  from pg_class c
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
  join type_of t on t.oid = a.atttypid
  where c.relnamespace = 'public'::regnamespace and c.relkind = 'v'
  group by c.relname
),
arguments as (
  select p.oid, a.number, a.name, t.name as type, coalesce(p.proargmodes[a.number], 'i') as mode,
    a.number > p.pronargs - p.pronargdefaults as is_optional
  from pg_proc p, unnest(p.proargnames, coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality a (name, type, number)
  join type_of t on t.oid = a.type
  where p.pronamespace = 'public'::regnamespace
),
functions as (
  select p.proname, format(e'      %s: {\n        Args: %s;\n        Returns: %s%s;\n      };\n', p.proname,
    coalesce((
      select '{ ' || string_agg(a.name || case when a.is_optional then '?' else '' end || ': ' || a.type, '; ' order by a.number) || ' }'
      from arguments a where a.oid = p.oid and a.mode = 'i'
    ), 'Record<PropertyKey, never>'),
    coalesce((
      select '{ ' || string_agg(a.name || ': ' || a.type, '; ' order by a.number) || ' }'
      from arguments a where a.oid = p.oid and a.mode = 't'
    ), (select t.name from type_of t where t.oid = p.prorettype)),
    case when p.proretset then '[]' else '' end
  ) as text
  from pg_proc p
  where p.pronamespace = 'public'::regnamespace and p.prokind = 'f' and p.prorettype <> 'trigger'::regtype
)
select e'// Made of supabase/schemas: WRITE_DOCS=1 cargo xtask test db\n\n'
  || e'export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[];\n\n'
  || e'/** What process-jobs has in your project: merge it with your own, or give it to `createClient<Database>`. */\n'
  || e'export type Database = {\n  public: {\n    Tables: {\n'
  || (select string_agg(text, '' order by relname) from tables)
  || e'    };\n    Views: {\n'
  || (select string_agg(text, '' order by relname) from views)
  || e'    };\n    Functions: {\n'
  || (select string_agg(text, '' order by proname, text) from functions)
  || e'    };\n    Enums: Record<never, never>;\n    CompositeTypes: Record<never, never>;\n  };\n};\n'
