-- is_server_state: whether an error is of the server or of the whole transaction (SQLSTATE classes 08, 25, 40, 53, 54,
-- 57, 58, XX), and not about one job: it is raised, for the caller to try again.
create or replace function process_jobs.is_server_state(p_sqlstate text) returns boolean
language sql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select p_sqlstate ~ '^(08|25|40|53|54|57|58|XX)'
$$;
