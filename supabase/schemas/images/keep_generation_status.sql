-- keep_generation_status: trigger on image_generations. An app that enqueues a job and then sets its generation to
-- `queued` may be slower than the worker: the status that the worker has set is kept.
--
-- A generation that is not completed and has no unfinished job that ever ran may be set freely by the app.
create or replace function process_jobs.keep_generation_status() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if coalesce(current_setting('process_jobs.writes', true), '') <> 'on' and (
    old.status::text = 'completed'
    or exists (
      select from public.job_queue j
      where j.payload ->> 'generation_id' = new.id::text and j.status in ('pending', 'processing')
        and j.job_type in ('generate-image', 'download-image')
        and (j.first_started_at is not null or j.job_type = 'download-image')
    )
  ) then
    new.status := old.status;
  end if;
  return new;
end
$$;
