-- prune_process_jobs_runs: deletes what pg_cron has kept for over a week of the runs of process-jobs-worker, 1,440 a
-- day; for post_process_jobs only. Runs of other cron jobs stay.
create or replace function public.prune_process_jobs_runs() returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if to_regclass('cron.job_run_details') is not null then
    execute $q$
      delete from cron.job_run_details d
      using cron.job j
      where d.jobid = j.jobid and j.jobname = 'process-jobs-worker' and j.username = current_user
        and d.start_time < now() - interval '7 days'
    $q$;
  end if;
exception
  when insufficient_privilege then
    raise warning 'the runs of process-jobs-worker could not be pruned: %', sqlerrm;
end
$$;

revoke execute on function public.prune_process_jobs_runs() from public, anon, authenticated, service_role;
