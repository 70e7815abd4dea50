-- user_limits: what the app's users may ask for; an operator edits it, and without a row nobody may ask for anything.
--
-- applies_to          'all'; 'plan:<name>': users whose token has app_metadata.plan <name>; 'user:<id>': one user
-- allowed_models      model ids, each as a request must give it
-- max_pixels          width x height asked for; a side that is not asked for counts as 1024
-- max_outputs         num_outputs; 1 where it is not asked for
-- max_priority        a request's priority; where no row sets it: 0
-- max_open            generations of a user under way at once
-- max_per_day         requests and retries of a user in 24 hours
-- max_cost_per_month  in US dollars, and over_budget what follows: 'refuse' or 'park'
--
-- Of each column the most specific row that sets it counts: the user's, then the plan's, then that of all. Null
-- everywhere: no limit.
create table if not exists public.user_limits (
  applies_to text primary key,
  allowed_models text[],
  max_pixels bigint,
  max_outputs int,
  max_priority int,
  max_open int,
  max_per_day int,
  max_cost_per_month numeric,
  over_budget text,
  constraint user_limits_applies_to_all_a_plan_or_a_user check (applies_to = 'all' or applies_to ~ '^(plan|user):.'),
  constraint user_limits_are_not_negative check (
    least(max_pixels, max_outputs, max_open, max_per_day, max_cost_per_month) >= 0
  ),
  constraint user_limits_over_budget_is_known check (over_budget in ('refuse', 'park'))
);

alter table public.user_limits enable row level security;
revoke all on public.user_limits from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.user_limits to service_role;
