-- cost_of_month: what a user's predictions of this month (UTC) have cost, in US dollars; one without a known price counts
-- as nothing.
create or replace function process_jobs.cost_of_month(p_user_id text) returns numeric
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
begin
  return (
    select coalesce(sum(l.cost), 0)
    from public.usage_ledger l
    where l.user_id = p_user_id and l.created_at >= date_trunc('month', now(), 'UTC'));
end
$$;
