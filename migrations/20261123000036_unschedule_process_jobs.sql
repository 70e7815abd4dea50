-- unschedule_process_jobs: removes the cron job process-jobs-worker; true: removed, false: there was none.
--
-- The stored key stays, so that schedule_process_jobs needs none the next time.
create or replace function public.unschedule_process_jobs() returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_cron_jobs regclass := to_regclass('cron.job');
  v_removed boolean;
begin
  if v_cron_jobs is null then
    return false;
  end if;
  execute format(
    'select %s(jobid) from %s where jobname = $1 and username = current_user',
    to_regprocedure('cron.unschedule(bigint)')::regproc, v_cron_jobs)
  using 'process-jobs-worker'
  into v_removed;
  return coalesce(v_removed, false);
end
$$;

revoke execute on function public.unschedule_process_jobs() from public, anon, authenticated;
grant execute on function public.unschedule_process_jobs() to service_role;
