-- backoff: the time until a job whose attempt has failed runs again (job_types); for settle_jobs.
create or replace function process_jobs.backoff(p_job_type text, p_attempt int) returns interval
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce((
    select make_interval(secs => (0.75 + 0.5 * random()) *
      least(t.backoff_max_seconds, t.backoff_base_seconds * power(2, least(greatest(0, p_attempt - 1), 60))))
    from public.job_types t
    where t.job_type = p_job_type), '0');
end
$$;
