-- pause_job_type: lets no job of the type begin until resume_job_type; true: paused now, false: it was paused already
-- and keeps its time and reason.
--
-- Running jobs and jobs that have begun continue, so that paid work is fetched while it can be. p_reason is for people
-- and cut to 2000 characters. Refuses (22023) a type without a row in job_types and an empty reason.
create or replace function public.pause_job_type(p_job_type text, p_reason text) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_reason is null or p_reason = '' then
    raise exception 'p_reason must not be empty' using errcode = '22023';
  end if;
  update public.job_types t
  set paused_at = now(), paused_reason = left(p_reason, 2000)
  where t.job_type = p_job_type and t.paused_at is null;
  if found then
    return true;
  end if;
  if not exists (select from public.job_types t where t.job_type = p_job_type) then
    raise exception 'unknown job type "%": job_types has no row for it', left(p_job_type, 200) using errcode = '22023';
  end if;
  return false;
end
$$;

revoke execute on function public.pause_job_type(text, text) from public, anon, authenticated;
grant execute on function public.pause_job_type(text, text) to service_role;
