-- report_progress: how far an unfinished job is, told by what works for it outside; true: noted, false: it is final, does not
-- exist, or is in another life than p_life (null: any). It never goes back.
--
-- Refuses (22023) p_progress outside 0 to 100.
create or replace function public.report_progress(p_job_id uuid, p_progress int, p_life int default null) returns boolean
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
  if p_progress is null or p_progress not between 0 and 100 then
    raise exception 'p_progress must be between 0 and 100, not %', coalesce(p_progress::text, 'null') using errcode = '22023';
  end if;
  update public.job_queue j
  set progress = greatest(j.progress, p_progress), updated_at = now(), moves = j.moves + 1
  where j.id = p_job_id and j.status in ('pending', 'processing') and j.life = coalesce(p_life, j.life);
  return found;
end
$$;

revoke execute on function public.report_progress(uuid, int, int) from public, anon, authenticated;
grant execute on function public.report_progress(uuid, int, int) to service_role;
