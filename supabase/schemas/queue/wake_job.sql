-- wake_job: records an event from outside for a job and wakes it; true: it is due now, false: it is final, does not
-- exist, is in another life than p_life (null: any), or has this event already.
--
-- pending     -> due now, whatever it waits for; once it has begun, even during a hold of its type
-- processing  -> continues; if its run parks it, which cannot have seen the event, it is due at once
--
-- p_usage is as for complete_job: recorded whatever the answer is.
-- p_event is kept until the next one or the job's end, and returned with every claim: the run decides its meaning.
-- Refuses (22023) one that is not a json object, or is larger or deeper than a payload may be.
create or replace function public.wake_job(p_job_id uuid, p_event jsonb, p_life int default null, p_usage jsonb default null) returns boolean
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
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

  if p_usage is not null then
    perform process_jobs.record_usage(jsonb_build_array(jsonb_build_object('job_id', p_job_id, 'usage', p_usage)));
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

revoke execute on function public.wake_job(uuid, jsonb, int, jsonb) from public, anon, authenticated;
grant execute on function public.wake_job(uuid, jsonb, int, jsonb) to service_role;
