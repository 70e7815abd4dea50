-- before_drain: the checks before a drain claims anything.
--
-- p_worker  {"version", "needs" (the oldest schema that it can use), "webhooks" (predictions report by webhook),
--           "bucket"}, kept for process_jobs_doctor
--
-- Refuses (55000), with a sentence, a worker too old for this schema or one that needs a newer schema. If the image
-- tables or the budget cannot be looked at, the drain goes on.
create or replace function process_jobs.before_drain(p_worker jsonb, p_job_types text[]) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if string_to_array(p_worker ->> 'version', '.')::int[] < string_to_array('0.1.0', '.')::int[] then
    raise exception 'this function is process-jobs %, and the database is %: supabase functions deploy process-jobs',
      p_worker ->> 'version', process_jobs.version() using errcode = '55000';
  end if;
  if string_to_array(p_worker ->> 'needs', '.')::int[] > string_to_array(process_jobs.version(), '.')::int[] then
    raise exception 'the database is %, and this function process-jobs %: apply its migration (supabase db push --remote)',
      process_jobs.version(), p_worker ->> 'version' using errcode = '55000';
  end if;
  if not exists (
    select from process_jobs.worker w
    where w.said = p_worker and w.job_types is not distinct from p_job_types and w.seen_at > now() - interval '30 seconds'
  ) then
    insert into process_jobs.worker as w (said, job_types) values (p_worker, p_job_types)
    on conflict (only_row) do update set said = excluded.said, job_types = excluded.job_types, seen_at = now();
  end if;
  begin
    perform process_jobs.look_at_image_tables();
    perform process_jobs.look_at_budget();
  exception
    when others then
      raise warning 'the image tables or the budget could not be looked at: %', sqlerrm;
  end;
end
$$;
