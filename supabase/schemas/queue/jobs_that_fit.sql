-- jobs_that_fit: the first of these jobs that together have at most 8 MiB of payloads, checkpoints and events, but one at
-- least: no more fits into an answer of PostgREST. For claim_jobs.
--
-- p_bytes  what they have together as it is stored, compressed; null: there are none
create or replace function process_jobs.jobs_that_fit(p_picked uuid[], p_bytes bigint) returns uuid[]
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_max_bytes constant int := 8388608;
begin
  -- Compressed, text is up to 255 times as short.
  if p_bytes is null or cardinality(p_picked) = 1 or v_max_bytes / 255 >= p_bytes then
    return p_picked;
  end if;
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
    where sized.bytes <= v_max_bytes or sized.n = 1
  );
end
$$;
