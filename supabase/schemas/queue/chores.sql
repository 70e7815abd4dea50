-- has_chores: whether a claim has something to do before it picks: troubles to retry, claims whose time has come, jobs
-- that have fallen due, or starts to count. A claim or an exchange calls it first.
create or replace function process_jobs.has_chores(p_job_types text[]) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_passed bigint := pg_stat_get_xact_tuples_returned('process_jobs.leases_expire'::regclass)
    + pg_stat_get_xact_tuples_returned('process_jobs.waiting_jobs_due'::regclass);
  v_has boolean;
begin
  v_has := exists (
      select from process_jobs.leases l
      where l.expires_at <= now() and l.expires_at >= coalesce(
        (select m.begins_at from process_jobs.time_marks m where m.place = 'leases' and m.look_at > now()), '-infinity'))
    or exists (
      select from process_jobs.waiting_jobs w
      where w.due_at <= now() and w.due_at >= coalesce(
        (select m.begins_at from process_jobs.time_marks m where m.place = 'waiting_jobs' and m.look_at > now()), '-infinity'))
    or exists (
      select from process_jobs.job_troubles b
      where b.retry_at <= now() and (b.kind in ('effect', 'cancel') or b.retry_at <= now() - interval '10 minutes'))
    or exists (
      select from public.job_types t
      where t.starts_per_minute is not null and (p_job_types is null or t.job_type = any (p_job_types))
        -- (Offset: so that no planner joins, which would read all that is ready.)
        and exists (
          select from process_jobs.ready_jobs r where r.job_type = t.job_type collate "C" and r.lane = 0 offset 0));
  if pg_stat_get_xact_tuples_returned('process_jobs.leases_expire'::regclass)
    + pg_stat_get_xact_tuples_returned('process_jobs.waiting_jobs_due'::regclass) - v_passed > 1000
  then
    perform process_jobs.raise_time_marks();
  end if;
  return v_has;
end
$$;

-- needs_turn: whether a claim takes the turn: to take back lost jobs or to count starts.
create or replace function process_jobs.needs_turn(p_job_types text[]) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return process_jobs.sweep_leases() or exists (
    select from public.job_types t
    where t.starts_per_minute is not null and t.paused_at is null and (t.held_until is null or t.held_until <= now())
      and (p_job_types is null or t.job_type = any (p_job_types))
      and (
        exists (
          select from process_jobs.ready_jobs r where r.job_type = t.job_type collate "C" and r.lane = 0 offset 0)
        or exists (
          select from process_jobs.waiting_jobs w
          where w.job_type = t.job_type collate "C" and w.lane = 0 and w.due_at <= now() offset 0)
      ));
end
$$;

-- do_chores: does them, and returns the types with starts_per_minute whose starts this claim may count; null: none, for
-- another has the turn or its rows.
--
-- The turn comes before any lock of a job. p_waits false: it is not waited for, for the caller holds some already.
create or replace function process_jobs.do_chores(p_job_types text[], p_limit int, p_waits boolean) returns text[]
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '20ms'
as $$
declare
  v_needs_turn boolean := process_jobs.needs_turn(p_job_types);
  v_is_troubled boolean := exists (
    select from process_jobs.job_troubles b
    where b.retry_at <= now() and (b.kind in ('effect', 'cancel') or b.retry_at <= now() - interval '10 minutes'));
  v_has_turn boolean := false;
  v_counted text[];
begin
  if v_needs_turn or v_is_troubled and p_waits then
    v_has_turn := process_jobs.take_turn(p_waits);
  end if;
  if v_is_troubled then
    perform process_jobs.retry_job_troubles();
  end if;
  if v_needs_turn and v_has_turn then
    begin
      -- A type whose row somebody has begins nothing now.
      select array_agg(counted.job_type) into v_counted
      from (
        select t.job_type from public.job_types t where t.starts_per_minute is not null for update skip locked
      ) counted;
    exception
      when lock_not_available then
        null;
    end;
    perform process_jobs.take_back_jobs();
  end if;
  perform process_jobs.promote_jobs(greatest(200, 2 * p_limit));
  return v_counted;
end
$$;
