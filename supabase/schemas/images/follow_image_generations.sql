-- follow_image_generations: creates process-jobs' two triggers on image_generations if they are missing and the table
-- has a status. They react to the app's changes of a generation while its jobs are unfinished.
create or replace function process_jobs.follow_image_generations() returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_table regclass := to_regclass('public.image_generations');
begin
  if process_jobs.column_type('public.image_generations', 'status') is null
    or (select c.relkind <> 'r' from pg_catalog.pg_class c where c.oid = v_table)
    or (select count(*) = 2 from pg_catalog.pg_trigger t where t.tgrelid = v_table and t.tgname like 'process\_jobs\_%')
  then
    return;
  end if;
  create or replace trigger process_jobs_keep_status
    before update of status on public.image_generations
    for each row
    when (new.status::text = 'queued' and old.status::text in ('processing', 'downloading', 'completed'))
    execute function process_jobs.keep_generation_status();
  create or replace trigger process_jobs_cancel
    after update of status on public.image_generations
    for each row
    when (new.status::text in ('failed', 'cancelled') and old.status::text not in ('failed', 'cancelled', 'completed'))
    execute function process_jobs.cancel_jobs_of_generation();
end
$$;

-- Finds the jobs of a generation.
create index if not exists job_queue_generation on public.job_queue ((payload ->> 'generation_id'))
  where job_type in ('generate-image', 'download-image');
