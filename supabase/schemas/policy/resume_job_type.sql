-- resume_job_type: ends a pause; true: resumed now, false: it was not paused.
--
-- The age of jobs that waited without having begun starts anew: started_at becomes null. A hold (held_until) stays and
-- ends by itself. Refuses (22023) a type without a row in job_types.
create or replace function public.resume_job_type(p_job_type text) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update public.job_queue j
  set started_at = null
  where j.id in (
      select r.id from process_jobs.ready_jobs r where r.job_type = p_job_type collate "C" and r.lane = 0
      union all
      select w.id from process_jobs.waiting_jobs w where w.job_type = p_job_type collate "C" and w.lane = 0
    )
    and j.status is not distinct from 'pending' and j.checkpoint is null and j.started_at is not null
    and exists (select from public.job_types t where t.job_type = p_job_type and t.paused_at is not null);
  update public.job_types t
  set paused_at = null, paused_reason = null
  where t.job_type = p_job_type and t.paused_at is not null;
  if found then
    perform process_jobs.ring();
    return true;
  end if;
  if not exists (select from public.job_types t where t.job_type = p_job_type) then
    raise exception 'unknown job type "%": job_types has no row for it', left(p_job_type, 200) using errcode = '22023';
  end if;
  return false;
end
$$;

revoke execute on function public.resume_job_type(text) from public, anon, authenticated;
grant execute on function public.resume_job_type(text) to service_role;
