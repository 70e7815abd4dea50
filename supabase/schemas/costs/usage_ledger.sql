-- usage_ledger: one row per prediction that has ended, whoever saw its end first. Rows are only ever inserted, by
-- record_usage.
--
-- id               the prediction's, so that nothing is counted twice
-- job_id, user_id  the job that made it, and the user of that job's payload
-- model            `owner/name`; null: Replicate did not say
-- status           how it ended: succeeded, failed, canceled, aborted (never started)
-- predict_seconds  the model's own time; null: Replicate did not say
-- images           how many it gave; null: Replicate has removed them before anybody looked
-- cost             in US dollars by model_prices as they were then; null: no price was known
-- created_at       when it was recorded; the month in which it counts is this one's, in UTC
--
-- Users read their own rows if the schema auth exists. The table stays when process-jobs is taken out.
do $$
begin
  if to_regclass('public.usage_ledger') is not null then
    return;
  end if;
  create table public.usage_ledger (
    id text primary key,
    job_id uuid not null,
    user_id text,
    model text,
    status text not null,
    predict_seconds double precision,
    images int,
    cost numeric,
    created_at timestamptz not null default now(),
    constraint usage_ledger_status_is_known check (status in ('succeeded', 'failed', 'canceled', 'aborted'))
  );
  revoke all on public.usage_ledger from public, anon, authenticated, service_role;
  grant select on public.usage_ledger to authenticated, service_role;
  alter table public.usage_ledger enable row level security;
  comment on table public.usage_ledger is 'made by process-jobs';
  create index usage_ledger_of_user on public.usage_ledger (user_id, created_at) include (cost);
  create index usage_ledger_by_time on public.usage_ledger (created_at) include (cost);
end
$$;

do $$
begin
  if to_regprocedure('auth.uid()') is null then
    raise notice 'auth.uid() does not exist: users read usage_ledger through service_role only';
  else
    drop policy if exists "users read their own usage" on public.usage_ledger;
    create policy "users read their own usage" on public.usage_ledger
      for select to authenticated using (user_id = (select auth.uid())::text);
  end if;
end
$$;
