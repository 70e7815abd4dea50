-- do_chores: does what has_chores has found, and returns the types with starts_per_minute whose starts this claim may
-- count; null: none, for another has the turn or its rows.
--
-- The turn comes before any lock of a job. p_waits false: it is not waited for, for the caller holds some already. What
-- another session has locked is left to a later claim.
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
    where b.retry_at <= now() and (b.kind in ('effect', 'cancel', 'notify') or b.retry_at <= now() - interval '10 minutes'));
  v_has_turn boolean := false;
  v_counted text[];
begin
  if v_needs_turn or v_is_troubled and p_waits then
    v_has_turn := process_jobs.take_turn(p_waits);
  end if;
  -- Each by itself: where a row changes in this very moment, its next version is waited for in spite of `skip locked`.
  if v_is_troubled then
    begin
      perform process_jobs.retry_job_troubles();
    exception
      when lock_not_available then
        null;
    end;
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
  begin
    perform process_jobs.sweep_leases();
    perform process_jobs.promote_jobs(greatest(200, 2 * p_limit));
  exception
    when lock_not_available then
      null;
  end;
  return v_counted;
end
$$;
