-- heartbeat_job: extends the lease of a running job to p_lease_seconds from now (null: its type's lease_seconds); true:
-- extended, false: the job is not processing under this token any more, and the caller should stop.
--
-- An expired lease that nobody has taken back is extended too. Refuses (22023) p_lease_seconds outside 1 to 86400 and
-- p_progress outside 0 to 100; p_progress null keeps the stored one.
create or replace function public.heartbeat_job(
  p_job_id uuid,
  p_lease_token uuid,
  p_lease_seconds int default null,
  p_progress int default null
) returns boolean
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty. (No = beside the id, which
-- would let a planner use a partial index.)
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  if p_lease_seconds not between 1 and 86400 then
    raise exception 'p_lease_seconds must be between 1 and 86400, not %', p_lease_seconds using errcode = '22023';
  end if;
  if p_progress not between 0 and 100 then
    raise exception 'p_progress must be between 0 and 100, not %', p_progress using errcode = '22023';
  end if;

  update public.job_queue j
  set (lease_expires_at, moves) = (
      -- Nobody need look earlier than before, unless the lease is shortened (keep_places).
      select l.expires_at, j.moves + case when l.expires_at >= j.lease_expires_at then 1 else 0 end
      from (
        select now() + make_interval(secs => coalesce(
          p_lease_seconds, (select t.lease_seconds from public.job_types t where t.job_type = j.job_type)))
      ) l (expires_at)
    ),
    progress = coalesce(p_progress, j.progress),
    updated_at = now()
  where j.id = p_job_id and j.lease_token = p_lease_token and j.status is not distinct from 'processing';
  return found;
end
$$;

revoke execute on function public.heartbeat_job(uuid, uuid, int, int) from public, anon, authenticated;
grant execute on function public.heartbeat_job(uuid, uuid, int, int) to service_role;
