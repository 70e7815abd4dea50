-- project_budget: what all users together may cost in a month (UTC); one row, the operator's to edit.
--
-- max_cost_per_month  in US dollars; null: no budget
-- over_budget         what becomes of a user's request over it: 'refuse' (default), or 'park': it waits with the type
-- look_again_at       when it is looked at next (look_at_budget)
do $$
begin
  if to_regclass('public.project_budget') is not null then
    return;
  end if;
  create table public.project_budget (
    only_row boolean primary key default true,
    max_cost_per_month numeric,
    over_budget text not null default 'refuse',
    look_again_at timestamptz not null default now(),
    constraint project_budget_is_one_row check (only_row),
    -- NaN counts as greater than every number.
    constraint project_budget_max_cost_bounded check (max_cost_per_month between 0 and 1000000000),
    constraint project_budget_over_budget_is_known check (over_budget in ('refuse', 'park'))
  );
  insert into public.project_budget default values;
  revoke all on public.project_budget from public, anon, authenticated, service_role;
  grant select, update on public.project_budget to service_role;
  alter table public.project_budget enable row level security;
end
$$;
