-- prune_runs: deletes pg_cron's records of process-jobs' cron runs, 1,440 a day, that are over a week old; returns
-- their number. The cron job process-jobs-prune-runs calls it, whatever the other's schedule is.
--
-- Runs are recognised by their command, so those of a cron job that was scheduled anew count too. Runs of other cron
-- jobs stay. If the records may not be deleted it fails, which shows in cron.job_run_details.
create or replace function process_jobs.prune_runs() returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_runs regclass := to_regclass('cron.job_run_details');
  v_pruned int := 0;
begin
  if v_runs is not null then
    -- By the number of the run: some that never began have no time.
    execute format(
      $q$
      delete from %1$s d
      where d.command ~ $1 and d.username = current_user and d.database = current_database()
        and d.runid <= (
          select max(old.runid) from %1$s old
          where old.command ~ $1 and old.username = current_user and old.database = current_database()
            and old.start_time < now() - interval '7 days'
        )
      $q$, v_runs)
    using '^select process_jobs\.(tick|prune_runs)\(';
    get diagnostics v_pruned = row_count;
  end if;
  return v_pruned;
end
$$;
