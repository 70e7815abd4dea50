-- keep_lease: a job that is put to work by hand has its lease looked after; for keep_places and place_inserted.
create or replace function process_jobs.keep_lease(p_job public.job_queue) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into process_jobs.leases as l (token, expires_at, jobs)
  values (p_job.lease_token, p_job.lease_expires_at, array[p_job.id])
  on conflict (token) do update
  set expires_at = least(l.expires_at, excluded.expires_at),
    jobs = case when p_job.id = any (l.jobs) then l.jobs else l.jobs || p_job.id end;
end
$$;
