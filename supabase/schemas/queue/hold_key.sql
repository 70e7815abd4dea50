-- hold_key: an unfinished job that is inserted or changed by hand holds its unique_key; for keep_places and
-- place_inserted. Refuses (23505) a key that another unfinished job of its type holds.
create or replace function process_jobs.hold_key(p_job public.job_queue) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_job.unique_key is null or p_job.status not in ('pending', 'processing') then
    return;
  end if;
  perform from process_jobs.unfinished_keys k
  where k.job_type = p_job.job_type collate "C" and k.unique_key = p_job.unique_key collate "C" and k.id = p_job.id;
  if found then
    return;
  end if;
  -- Reserved, but a trigger of the app's may have given the job another id.
  update process_jobs.unfinished_keys k
  set id = p_job.id
  where k.job_type = p_job.job_type collate "C" and k.unique_key = p_job.unique_key collate "C"
    and (select j.id from public.job_queue j where j.id = k.id) is null;
  if not found then
    insert into process_jobs.unfinished_keys (job_type, unique_key, id)
    values (p_job.job_type, p_job.unique_key, p_job.id);
  end if;
end
$$;
