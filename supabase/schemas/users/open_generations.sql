-- open_generations: the generations that a user has asked for and that have an unfinished job.
create or replace function process_jobs.open_generations(p_user_id text) returns text[]
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return array(
    select distinct r.generation_id
    from process_jobs.requests r
    where r.user_id = p_user_id and r.ended_at is null and exists (
      select from public.job_queue j
      where j.payload ->> 'generation_id' = r.generation_id and j.job_type in ('generate-image', 'download-image')
        and j.status in ('pending', 'processing'))
  );
end
$$;
