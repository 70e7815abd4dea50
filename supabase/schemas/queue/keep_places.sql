-- keep_places: triggers on job_queue. What is changed by hand or deleted is checked (check_job) and given its place; what
-- is inserted, by place_inserted. So is a job with a notify_url, for whose end notify_end looks: settle_jobs and
-- take_back_jobs do not raise its `moves`, because a trigger of its own would cost every job.
--
-- The functions that move jobs themselves raise `moves` with each change, and are passed over, unless the app's own triggers
-- have changed the job's type or key along with it. Two changes by hand mean something else than what they say:
--
-- processing -> pending, with its token    the worker may be in the middle of an effect that must not happen twice, so the
--                                          job is not claimed before its lease is over; its settle counts until then
-- pending, processing -> cancelled, with   as by cancel_job: a job that may have begun something is put back, with
-- the same token                           cancel_requested_at, and cancelled once a worker has ended that. Until it is
--                                          put back, after the statement, it is `cancelled`, as the app's own policies
--                                          may demand
create or replace function process_jobs.keep_places() returns trigger
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_now public.job_queue;
begin
  if tg_op = 'DELETE' then
    perform process_jobs.take_out(old);
    return null;
  end if;
  if new.notify_url is not null then
    perform process_jobs.notify_end(old, new);
  end if;
  if (
    new.id, new.job_type, new.status, new.priority, new.created_at, new.scheduled_at, new.completed_at, new.unique_key,
    new.lease_token, new.lease_expires_at, new.woken_at, new.checkpoint is null
  ) is not distinct from (
    old.id, old.job_type, old.status, old.priority, old.created_at, old.scheduled_at, old.completed_at, old.unique_key,
    old.lease_token, old.lease_expires_at, old.woken_at, old.checkpoint is null
  ) then
    perform process_jobs.check_job(new);
    return null;
  end if;

  perform process_jobs.take_out(old);
  perform process_jobs.check_job(new);
  -- Another trigger may have changed the row since, or deleted it.
  select * into v_now from public.job_queue j where j.id = new.id;
  perform process_jobs.hold_key(v_now);
  if v_now.status in ('pending', 'failed') then
    perform process_jobs.place_jobs(
      array[v_now.id], case when current_setting('process_jobs.ring', true) is distinct from 'asked' then v_now.id end);
  elsif v_now.status = 'processing' then
    perform process_jobs.keep_lease(v_now);
  end if;

  if old.status = 'processing' and new.status = 'pending' and new.scheduled_at < new.lease_expires_at then
    update public.job_queue j set scheduled_at = new.lease_expires_at where j.id = new.id;
  elsif process_jobs.is_wish_to_cancel(old, new) then
    update public.job_queue j
    set status = old.status,
      cancel_requested_at = coalesce(old.cancel_requested_at, now()),
      checkpoint = coalesce(old.checkpoint, '{}'),
      scheduled_at = case
        when old.status = 'pending' then least(old.scheduled_at, greatest(now(), old.lease_expires_at))
        else old.scheduled_at
      end,
      woken_at = now(), completed_at = old.completed_at, updated_at = now()
    where j.id = new.id and j.status is not distinct from 'cancelled';
  elsif new.status = 'cancelled' and old.status in ('pending', 'processing')
    and (new.completed_at is null or new.event is not null)
  then
    update public.job_queue j
    set event = null, completed_at = coalesce(j.completed_at, now()), updated_at = now()
    where j.id = new.id;
  end if;
  return null;
end
$$;

create or replace trigger process_jobs_keep_places
  after delete on public.job_queue
  for each row execute function process_jobs.keep_places();
create or replace trigger process_jobs_keep_places_by_hand
  after update on public.job_queue
  for each row when (
    new.moves <= old.moves or new.job_type <> old.job_type or new.unique_key is distinct from old.unique_key)
  execute function process_jobs.keep_places();
