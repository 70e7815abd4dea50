-- 0.1.0, for databases of its development: generations have a progress.
drop function if exists process_jobs.set_generation_status(jsonb, text, text, text, boolean);

do $$
begin
  if obj_description(to_regclass('public.image_generations'), 'pg_class') is distinct from 'made by process-jobs'
    or process_jobs.column_type('public.image_generations', 'progress') is not null
  then
    return;
  end if;
  alter table public.image_generations
    add column progress smallint not null default 0,
    add constraint image_generations_progress_is_percent check (progress between 0 and 100);
  update public.image_generations set progress = 100 where status = 'completed';
end
$$;
