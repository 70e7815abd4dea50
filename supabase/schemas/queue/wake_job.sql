-- wake_job: tells a job what happened outside; true: it is due now, false: it is final, not there, in another
-- life than p_life (null: whichever), or has been told the same before.
--
-- pending     -> due now, whatever it waits for; once it has begun also in spite of a hold of its type
-- processing  -> goes on; where its run parks, which cannot have seen the event, it is due at once
--
-- p_event is kept, until the next one or the job's end, and handed out with every claim: the run decides what
-- it means. Refuses (22023) one that is no json object, or larger or deeper than a payload may be.
create or replace function public.wake_job(p_job_id uuid, p_event jsonb, p_life int default null) returns boolean
language plpgsql
security definer
-- Triggers of the app's own are fired here, and look for what they name where they always did.
set search_path = pg_catalog, public, extensions, pg_temp
-- By its key, whatever the statistics say: they may be of when the table was empty.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_refusal text := process_jobs.json_refusal('p_event', p_event);
begin
  if p_event is null or jsonb_typeof(p_event) <> 'object' then
    raise exception 'p_event must be a json object, not %', coalesce(jsonb_typeof(p_event), 'null')
      using errcode = '22023';
  elsif v_refusal is not null then
    raise exception '%', v_refusal using errcode = '22023';
  end if;

  update public.job_queue j
  set event = p_event,
    scheduled_at = case
      when j.status = 'pending' then least(j.scheduled_at, greatest(now(), j.lease_expires_at))
      else j.scheduled_at
    end,
    woken_at = now(), updated_at = now()
  where j.id = p_job_id and j.status in ('pending', 'processing')
    and j.life = coalesce(p_life, j.life) and j.event is distinct from p_event;
  return found;
end
$$;

revoke execute on function public.wake_job(uuid, jsonb, int) from public, anon, authenticated;
grant execute on function public.wake_job(uuid, jsonb, int) to service_role;
