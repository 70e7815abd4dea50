-- change_priority: gives a pending job another priority; true: changed, false: it is not pending any more, or does not exist.
--
-- Its place moves with it; of a type with a fair_key it gets its owner's next turn there. Refuses (22023) null.
create or replace function public.change_priority(p_job_id uuid, p_priority int) returns boolean
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  if p_priority is null then
    raise exception 'p_priority must be a number, not null' using errcode = '22023';
  end if;
  update public.job_queue j
  set priority = p_priority, updated_at = now()
  where j.id = p_job_id and j.status is not distinct from 'pending';
  return found;
end
$$;

revoke execute on function public.change_priority(uuid, int) from public, anon, authenticated;
grant execute on function public.change_priority(uuid, int) to service_role;
