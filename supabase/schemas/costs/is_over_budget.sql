-- is_over_budget: whether a type's paused_reason is that of look_at_budget.
create or replace function process_jobs.is_over_budget(p_paused_reason text) returns boolean
language sql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select p_paused_reason like 'the project''s budget for % is used: %'
$$;
