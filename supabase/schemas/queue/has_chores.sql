-- has_chores: whether a claim has something to do before it picks: leases whose time has come, jobs that have fallen due,
-- troubles to retry, or starts to count. A claim or an exchange calls it first.
create or replace function process_jobs.has_chores(p_job_types text[]) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_leases constant oid := 'process_jobs.leases_expire'::regclass;
  v_waiting constant oid := 'process_jobs.waiting_jobs_due'::regclass;
  v_walked bigint := pg_stat_get_xact_tuples_returned(v_leases) + pg_stat_get_xact_tuples_returned(v_waiting)
    + 50 * (pg_stat_get_xact_blocks_fetched(v_leases) + pg_stat_get_xact_blocks_fetched(v_waiting));
  v_has boolean;
begin
  v_has := exists (
      select from process_jobs.begins b, process_jobs.leases l where l.expires_at <= now() and l.expires_at >= b.leases)
    or exists (
      select from process_jobs.begins b, process_jobs.waiting_jobs w where w.due_at <= now() and w.due_at >= b.waiting_jobs)
    or exists (
      select from process_jobs.job_troubles b
      where b.retry_at <= now() and (b.kind in ('effect', 'cancel', 'notify') or b.retry_at <= now() - interval '10 minutes'))
    or exists (
        select from public.job_types t
        where t.starts_per_minute is not null and (p_job_types is null or t.handler = any (p_job_types)))
      and process_jobs.counts_starts(p_job_types);
  -- Entries passed over that are gone, a page of them counted as fifty: as in claim_jobs.
  v_walked := pg_stat_get_xact_tuples_returned(v_leases) + pg_stat_get_xact_tuples_returned(v_waiting)
    + 50 * (pg_stat_get_xact_blocks_fetched(v_leases) + pg_stat_get_xact_blocks_fetched(v_waiting)) - v_walked;
  if v_walked > 1000 then
    perform process_jobs.raise_time_marks();
  end if;
  return v_has;
end
$$;
