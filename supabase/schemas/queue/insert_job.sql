-- insert_job: the work of enqueue_job, for it and for enqueue_follow_ups; every column that must have a value gets one.
--
-- p_notify_url null becomes the type's. p_created_by becomes null if the column's type cannot hold it.
create or replace function process_jobs.insert_job(
  p_job_type text,
  p_payload jsonb,
  p_priority int,
  p_max_attempts int,
  p_scheduled_at timestamptz,
  p_unique_key text,
  p_created_by text,
  p_notify_url text default null,
  p_notify_user text default null
) returns uuid
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
  v_max_attempts int := coalesce(p_max_attempts, 3);
  v_created_by public.job_queue.created_by%type;
  v_id uuid := process_jobs.new_job_id();
  v_holder uuid;
  v_made uuid;
  v_has_key boolean;
  v_notify_url text;
begin
  -- The column may be a uuid, as ids of users are.
  begin
    v_created_by := p_created_by;
  exception
    when invalid_text_representation then
      null;
  end;
  select coalesce(p_notify_url, t.notify_url) into v_notify_url from public.job_types t where t.job_type = p_job_type;
  if not found then
    raise exception 'unknown job type "%": job_types has no row for it', left(p_job_type, 200)
      using errcode = '22023';
  end if;
  if p_payload is null then
    raise exception 'payload must be a json object, not null' using errcode = '22023';
  end if;
  if not isfinite(p_scheduled_at) then
    raise exception 'p_scheduled_at must be finite, not %', p_scheduled_at using errcode = '22023';
  end if;
  if v_max_attempts not between 1 and 100 then
    raise exception 'p_max_attempts must be between 1 and 100, not %', v_max_attempts using errcode = '22023';
  end if;
  if length(p_unique_key) not between 1 and 200 then
    raise exception 'p_unique_key must have between 1 and 200 characters, not %', length(p_unique_key)
      using errcode = '22023';
  end if;

  if p_unique_key is not null then
    -- Reserved before the insert: a violation would cost it, and a subtransaction for each. The job that holds the key may
    -- end between the two looks: then the key is free.
    loop
      insert into process_jobs.unfinished_keys (job_type, unique_key, id) values (p_job_type, p_unique_key, v_id)
      on conflict do nothing;
      exit when found;
      select k.id into v_holder
      from process_jobs.unfinished_keys k
      where k.job_type = p_job_type collate "C" and k.unique_key = p_unique_key collate "C";
      if v_holder is not null then
        return v_holder;
      end if;
    end loop;
  end if;

  insert into public.job_queue (
    id, job_type, payload, status, priority, attempt_number, max_attempts, scheduled_at, created_at, updated_at,
    unique_key, created_by, notify_url, notify_user
  )
  values (
    v_id, p_job_type, p_payload, 'pending', coalesce(p_priority, 0), 0, v_max_attempts,
    coalesce(p_scheduled_at, now()), least(p_scheduled_at, now()), now(), p_unique_key, v_created_by,
    v_notify_url, p_notify_user
  )
  returning id, unique_key is not distinct from p_unique_key and job_type = p_job_type and status in ('pending', 'processing')
  into v_made, v_has_key;
  if v_made is null then
    raise exception 'a trigger of job_queue has taken no job' using errcode = '22023';
  end if;
  if not v_has_key then
    -- A trigger of the app's has given the job another one, or ended it.
    delete from process_jobs.unfinished_keys k
    where k.job_type = p_job_type collate "C" and k.unique_key = p_unique_key collate "C" and k.id = v_id;
  end if;
  return v_made;
end
$$;
