-- unschedule_process_jobs: removes the cron jobs process-jobs-worker and process-jobs-prune-runs, and ends the rings; true:
-- removed, false: there was none.
--
-- The stored key stays, so that schedule_process_jobs needs none the next time. Cron jobs of the same names with
-- another command are not process-jobs' and stay.
create or replace function public.unschedule_process_jobs() returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_cron_jobs regclass := to_regclass('cron.job');
  v_removed boolean;
begin
  delete from process_jobs.scheduled_function;
  if v_cron_jobs is null then
    return false;
  end if;
  execute format(
    'select coalesce(bool_or(%s(jobid) and jobname = $1), false) from %s
    where jobname in ($1, $2) and username = current_user and command ~ ''^select process_jobs\.(tick|prune_runs)\(''',
    to_regprocedure('cron.unschedule(bigint)')::regproc, v_cron_jobs)
  using 'process-jobs-worker', 'process-jobs-prune-runs'
  into v_removed;
  return v_removed;
end
$$;

revoke execute on function public.unschedule_process_jobs() from public, anon, authenticated;
grant execute on function public.unschedule_process_jobs() to service_role;
