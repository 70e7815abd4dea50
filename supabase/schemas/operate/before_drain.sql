-- before_drain: what is looked at before a drain claims anything; answers the version of the schema.
--
-- Refuses (55000) a worker that is older than this schema can do with, with a sentence. Notes which worker was here last, and which job types it handles. Whatever goes wrong in looking, the drain goes on.
create or replace function process_jobs.before_drain(p_version text, p_job_types text[]) returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if string_to_array(p_version, '.')::int[] < string_to_array('0.1.0', '.')::int[] then
    raise exception 'this function is process-jobs %, and the database is %: supabase functions deploy process-jobs',
      p_version, process_jobs.version() using errcode = '55000';
  end if;
  if not exists (
    select from process_jobs.worker w
    where w.version = p_version and w.job_types is not distinct from p_job_types and w.seen_at > now() - interval '1 minute'
  ) then
    insert into process_jobs.worker as w (version, job_types) values (left(p_version, 100), p_job_types)
    on conflict (only_row) do update set version = excluded.version, job_types = excluded.job_types, seen_at = now();
  end if;
  begin
    perform process_jobs.look_at_image_tables();
  exception
    when others then
      raise warning 'the image tables could not be looked at: %', sqlerrm;
  end;
  return process_jobs.version();
end
$$;
