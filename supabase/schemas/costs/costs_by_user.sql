-- costs_by_user: what each user has used in each month (UTC). cost counts what has no known price as 0; unpriced tells how
-- many predictions that are.
create or replace view public.costs_by_user with (security_invoker = true) as
  select date_trunc('month', l.created_at at time zone 'UTC')::date as month, l.user_id, count(*) as predictions,
    coalesce(sum(l.images), 0) as images, coalesce(sum(l.predict_seconds), 0) as predict_seconds,
    coalesce(sum(l.cost), 0) as cost, count(*) filter (where l.cost is null) as unpriced
  from public.usage_ledger l
  group by 1, 2;

revoke all on public.costs_by_user from public, anon, authenticated, service_role;
grant select on public.costs_by_user to service_role;
