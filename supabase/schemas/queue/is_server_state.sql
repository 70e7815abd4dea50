-- is_server_state: true if an error concerns the server or the whole transaction (SQLSTATE classes 08, 25, 40, 53, 54,
-- 57, 58, XX) rather than one job: callers raise it, so that the call is repeated.
create or replace function process_jobs.is_server_state(p_sqlstate text) returns boolean
language sql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select p_sqlstate ~ '^(08|25|40|53|54|57|58|XX)'
$$;
