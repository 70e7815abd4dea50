-- take_out: a job that is deleted or changed by hand has no place any more; for keep_places.
create or replace function process_jobs.take_out(p_job public.job_queue) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_job.status = 'pending' then
    delete from process_jobs.waiting_jobs w where w.id = p_job.id;
    delete from process_jobs.ready_jobs r where r.id = p_job.id;
  elsif p_job.status = 'failed' then
    delete from process_jobs.failed_jobs f where f.id = p_job.id;
  end if;
  if p_job.unique_key is not null then
    delete from process_jobs.unfinished_keys k
    where k.job_type = p_job.job_type collate "C" and k.unique_key = p_job.unique_key collate "C" and k.id = p_job.id;
  end if;
end
$$;
