-- available_starts: the number of jobs of a type with starts_per_minute that may begin now, including a fraction; only
-- for claim_next_job and seconds_until_next_job.
--
-- A token bucket: it holds a tenth of starts_per_minute, at least one, and fills evenly.
create or replace function process_jobs.available_starts(p_type public.job_types) returns double precision
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return least(
    greatest(1, p_type.starts_per_minute / 10),
    coalesce(
      p_type.start_tokens + extract(epoch from now() - p_type.start_tokens_at) * p_type.starts_per_minute / 60,
      'infinity'));
end
$$;
