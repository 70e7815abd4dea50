-- my_limits: {limits, used, left, until} of the signed-in user; limits is null if requests are not open to them.
--
-- limits  the columns of user_limits that count for them; null: no limit
-- used    {open, day, cost}: generations under way, requests of the last 24 hours, US dollars of this month (UTC)
-- left    {open, day, cost}: how much more is possible now; null: no limit
-- until   when the next request of the day is possible, if none is now
create or replace function public.my_limits() returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id text := process_jobs.signed_in_user();
  v_limits public.user_limits := process_jobs.limits_of(v_user_id);
  v_open bigint := cardinality(process_jobs.open_generations(v_user_id));
  v_cost numeric := process_jobs.cost_of_month(v_user_id);
  v_day record;
begin
  v_limits.max_priority := coalesce(v_limits.max_priority, 0);
  select d.used, d.until into v_day from process_jobs.day_of(v_user_id, v_limits.max_per_day) d;
  return jsonb_build_object(
    'limits', case when v_limits.applies_to is not null then to_jsonb(v_limits) - 'applies_to' end,
    'used', jsonb_build_object('open', v_open, 'day', v_day.used, 'cost', v_cost),
    'left', jsonb_build_object(
      'open', v_limits.max_open - least(v_open, v_limits.max_open),
      'day', v_limits.max_per_day - least(v_day.used, v_limits.max_per_day),
      'cost', v_limits.max_cost_per_month - least(v_cost, v_limits.max_cost_per_month)),
    'until', v_day.until);
end
$$;

revoke execute on function public.my_limits() from public, anon, service_role;
grant execute on function public.my_limits() to authenticated;
