-- check_budget: for a user's request: null where there is budget left, else when the request may begin, if it is to be
-- parked, or a refusal (PT429, which PostgREST answers as 429) that says what is used and when the month ends; its detail
-- has the same as json.
--
-- p_max_cost_per_month  the user's budget in US dollars, null: none
-- p_over_budget         'park' or 'refuse'
--
-- What is under way counts once it has ended, and what has no known price counts as nothing. Over the project's budget
-- requests are refused, or wait with their type, as project_budget says.
create or replace function process_jobs.check_budget(p_user_id text, p_max_cost_per_month numeric, p_over_budget text)
returns timestamptz
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_month constant timestamptz := date_trunc('month', now(), 'UTC');
  v_next_month constant timestamptz := (v_month at time zone 'UTC' + interval '1 month') at time zone 'UTC';
  v_used numeric;
begin
  if exists (
    select from public.job_types t, public.project_budget b
    where t.job_type = 'generate-image' and process_jobs.is_over_budget(t.paused_reason) and b.over_budget = 'refuse'
  ) then
    raise exception 'the budget for %, all users together, is used; the next begins on % 00:00 UTC',
      to_char(v_month at time zone 'UTC', 'FMMonth YYYY'), to_char(v_next_month at time zone 'UTC', 'YYYY-MM-DD')
      using errcode = 'PT429', detail = jsonb_build_object('limit', 'project_budget', 'until', v_next_month);
  end if;
  if p_max_cost_per_month is null then
    return null;
  end if;
  v_used := process_jobs.cost_of_month(p_user_id);
  if v_used < p_max_cost_per_month then
    return null;
  elsif p_over_budget = 'park' then
    return v_next_month;
  end if;
  raise exception 'your budget for % is used: % of % US dollars; the next begins on % 00:00 UTC',
    to_char(v_month at time zone 'UTC', 'FMMonth YYYY'), round(v_used, 2), p_max_cost_per_month,
    to_char(v_next_month at time zone 'UTC', 'YYYY-MM-DD')
    using errcode = 'PT429', detail = jsonb_build_object(
      'limit', 'max_cost_per_month', 'allowed', p_max_cost_per_month, 'used', v_used, 'until', v_next_month);
end
$$;
