-- cancel_generation: cancels the unfinished jobs of a generation of the signed-in user (cancel_job); true: cancelled or
-- being cancelled, false: it has ended, does not exist, or is somebody else's.
create or replace function public.cancel_generation(p_id text) returns boolean
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
  v_job_id uuid;
  v_seen uuid[] := '{}';
  v_cancelled boolean := false;
begin
  -- One by one: where a job ends meanwhile, the one that follows it is found by the next look.
  loop
    select j.id into v_job_id
    from public.job_queue j
    where j.payload ->> 'generation_id' = p_id and j.job_type in ('generate-image', 'download-image')
      and j.payload ->> 'user_id' = v_user_id and j.status in ('pending', 'processing') and j.id <> all (v_seen)
    limit 1;
    exit when not found;
    v_cancelled := public.cancel_job(v_job_id) or v_cancelled;
    v_seen := v_seen || v_job_id;
  end loop;
  return v_cancelled;
end
$$;

revoke execute on function public.cancel_generation(text) from public, anon, service_role;
grant execute on function public.cancel_generation(text) to authenticated;
