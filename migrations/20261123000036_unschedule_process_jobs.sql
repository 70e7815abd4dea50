-- unschedule_process_jobs: removes the cron job process-jobs-worker; true: removed, false: there was none.
--
-- The stored key stays, so that schedule_process_jobs needs none the next time.
create or replace function public.unschedule_process_jobs() returns boolean
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_removed boolean := false;
begin
  if to_regclass('cron.job') is not null then
    execute $q$
      select coalesce(bool_or(cron.unschedule(jobid)), false)
      from cron.job
      where jobname = 'process-jobs-worker' and username = current_user
      $q$
    into v_removed;
  end if;
  return v_removed;
end
$$;

revoke execute on function public.unschedule_process_jobs() from public, anon, authenticated;
grant execute on function public.unschedule_process_jobs() to service_role;
