-- is_under_way: whether a generation has an unfinished job.
create or replace function process_jobs.is_under_way(p_generation_id text) returns boolean
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set jit = off
as $$
begin
  return exists (
    select from public.job_queue j
    where j.payload ->> 'generation_id' = p_generation_id and j.job_type in ('generate-image', 'download-image')
      and j.status in ('pending', 'processing')
  );
end
$$;
