-- place_inserted, keep_places: triggers on job_queue. Whatever is inserted, deleted or changed by hand is checked
-- (check_job) and given its place.
--
-- The functions that move jobs themselves raise revision with each change, and are passed over. Two changes by hand mean
-- something else than what they say:
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
begin
  if tg_op = 'DELETE' then
    perform process_jobs.take_out(old);
    return null;
  elsif (
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
  perform process_jobs.hold_key(new);
  if new.status in ('pending', 'failed') then
    perform process_jobs.place_jobs(array[new.id]);
  elsif new.status = 'processing' then
    perform process_jobs.keep_lease(new);
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

-- place_inserted: the same for all rows that a statement inserts.
create or replace function process_jobs.place_inserted() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_placed uuid[];
  v_is_rare boolean;
begin
  select array_agg(i.id) filter (where i.status in ('pending', 'failed')),
    bool_or(i.unique_key is not null or i.status = 'processing'), bool_and(process_jobs.check_job(i))
  into v_placed, v_is_rare
  from inserted i;
  if v_is_rare then
    perform process_jobs.hold_key(i) from inserted i order by i.job_type, i.unique_key;
    perform process_jobs.keep_lease(i) from inserted i where i.status = 'processing';
  end if;
  if v_placed is not null then
    perform process_jobs.place_jobs(v_placed);
  end if;
  return null;
end
$$;

-- take_out, hold_key, keep_lease: one row's part in that: it has no place any more; an unfinished one has its key; there is
-- a lease to look after it.
create or replace function process_jobs.take_out(p_job public.job_queue) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_job.status = 'pending' then
    delete from process_jobs.waiting_jobs w where w.id = p_job.id;
    delete from process_jobs.ready_jobs r where r.id = p_job.id;
  elsif p_job.status = 'failed' then
    delete from process_jobs.failed_jobs f where f.id = p_job.id;
  end if;
  if p_job.unique_key is not null and p_job.status in ('pending', 'processing') then
    delete from process_jobs.unfinished_keys k
    where k.job_type = p_job.job_type collate "C" and k.unique_key = p_job.unique_key collate "C" and k.id = p_job.id;
  end if;
end
$$;

create or replace function process_jobs.hold_key(p_job public.job_queue) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_job.unique_key is null or p_job.status not in ('pending', 'processing') then
    return;
  end if;
  perform from process_jobs.unfinished_keys k
  where k.job_type = p_job.job_type collate "C" and k.unique_key = p_job.unique_key collate "C" and k.id = p_job.id;
  if found then
    return;
  end if;
  -- Reserved, but a trigger of the app's may have given the job another id.
  update process_jobs.unfinished_keys k
  set id = p_job.id
  where k.job_type = p_job.job_type collate "C" and k.unique_key = p_job.unique_key collate "C"
    and (select j.id from public.job_queue j where j.id = k.id) is null;
  if not found then
    insert into process_jobs.unfinished_keys (job_type, unique_key, id)
    values (p_job.job_type, p_job.unique_key, p_job.id);
  end if;
end
$$;

create or replace function process_jobs.keep_lease(p_job public.job_queue) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into process_jobs.leases as l (token, expires_at, jobs)
  values (p_job.lease_token, p_job.lease_expires_at, array[p_job.id])
  on conflict (token) do update
  set expires_at = least(l.expires_at, excluded.expires_at),
    jobs = case when p_job.id = any (l.jobs) then l.jobs else l.jobs || p_job.id end;
end
$$;

-- is_wish_to_cancel: whether this update, of an app's own, only asks for the job's cancel (keep_places).
create or replace function process_jobs.is_wish_to_cancel(p_old public.job_queue, p_new public.job_queue) returns boolean
language plpgsql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return p_new.status = 'cancelled' and p_old.status in ('pending', 'processing') and p_new.revision = p_old.revision
    and p_new.lease_token is not distinct from p_old.lease_token
    and not (p_old.attempt_number = 0 and p_old.checkpoint is null and p_old.lease_token is null);
end
$$;

create or replace trigger process_jobs_place_inserted
  after insert on public.job_queue referencing new table as inserted
  for each statement execute function process_jobs.place_inserted();
create or replace trigger process_jobs_keep_places
  after delete on public.job_queue
  for each row execute function process_jobs.keep_places();
create or replace trigger process_jobs_keep_places_by_hand
  after update on public.job_queue
  for each row when (new.revision = old.revision) execute function process_jobs.keep_places();

create or replace function process_jobs.clear_places() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  truncate process_jobs.ready_jobs, process_jobs.waiting_jobs, process_jobs.leases, process_jobs.failed_jobs,
    process_jobs.unfinished_keys, process_jobs.marks, process_jobs.time_marks;
  return null;
end
$$;
create or replace trigger process_jobs_clear_places
  after truncate on public.job_queue
  for each statement execute function process_jobs.clear_places();
