-- retry_generation: gives the last job of a generation of the signed-in user a new life (retry_job); true: it is under way
-- again, false: it has not failed and was not cancelled, does not exist, or is somebody else's.
--
-- It counts as a request, and is refused as one (check_user_limits, check_budget), but for the priority, which it has
-- already; over the user's budget it is not parked.
create or replace function public.retry_generation(p_id text) returns boolean
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set jit = off
as $$
declare
  v_user_id text := process_jobs.signed_in_user();
  v_limits public.user_limits := process_jobs.limits_of(v_user_id);
  v_job record;
begin
  perform process_jobs.take_users_turn(v_user_id);
  select j.id, j.status, j.payload into v_job
  from public.job_queue j
  where j.payload ->> 'generation_id' = p_id and j.job_type in ('generate-image', 'download-image')
    and j.payload ->> 'user_id' = v_user_id
  order by j.created_at desc, j.id desc
  limit 1;
  if not found or v_job.status not in ('failed', 'cancelled') then
    return false;
  end if;
  perform process_jobs.check_user_limits(v_user_id, v_job.payload, null);
  perform process_jobs.check_budget(v_user_id, v_limits.max_cost_per_month, 'refuse');
  if not public.retry_job(v_job.id) then
    return false;
  end if;
  insert into process_jobs.requests (user_id, generation_id) values (v_user_id, p_id);
  return true;
end
$$;

revoke execute on function public.retry_generation(text) from public, anon, service_role;
grant execute on function public.retry_generation(text) to authenticated;
