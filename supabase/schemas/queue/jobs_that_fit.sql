-- jobs_that_fit: the first of these jobs that together have at most so many bytes of payloads, checkpoints and events, as
-- text, but one at least; for claim_jobs.
create or replace function process_jobs.jobs_that_fit(p_picked uuid[], p_max_bytes int) returns uuid[]
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  return (
    select array_agg(sized.id order by sized.n)
    from (
      select picked.id, picked.n, sum(picked.bytes) over (order by picked.n) as bytes
      from (
        select j.id, array_position(p_picked, j.id) as n,
          octet_length(j.payload::text) + coalesce(octet_length(j.checkpoint::text), 0)
            + coalesce(octet_length(j.event::text), 0) as bytes
        from public.job_queue j
        where j.id = any (p_picked)
      ) picked
    ) sized
    where sized.bytes <= p_max_bytes or sized.n = 1
  );
end
$$;
