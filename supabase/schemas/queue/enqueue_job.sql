-- enqueue_job: puts a job into the queue as `pending` and answers its id.
--
-- p_payload       a json object that a worker can read (check_job_payload)
-- p_priority      higher first, any int
-- p_max_attempts  1 to 100
-- p_scheduled_at  not before this time, a finite one; null: now. A past one is its place among its equals, as if it
--                 had been enqueued then
-- p_unique_key    1 to 200 characters; while a job of this type and key is unfinished, its id is
--                 answered and nothing is enqueued, also when many ask at once
--
-- Refuses (22023) a type without a row in job_types and arguments out of these bounds.
-- created_by becomes the token's `sub`, else its `role`, else the database's session user.

create or replace function public.enqueue_job(
  p_job_type text,
  p_payload jsonb,
  p_priority int default 0,
  p_max_attempts int default 3,
  p_scheduled_at timestamptz default null,
  p_unique_key text default null
) returns uuid
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- By its key, whatever the statistics say: they may be of when the table was empty.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_max_attempts int := coalesce(p_max_attempts, 3);
  v_claims jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
  v_id uuid;
begin
  if p_job_type is null or not exists (select from public.job_types t where t.job_type = p_job_type) then
    raise exception 'unknown job type "%": job_types has no row for it', left(p_job_type, 200)
      using errcode = '22023';
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

  -- The job that holds the key may end between the insert and the look for it: then the key is free.
  loop
    insert into public.job_queue (
      job_type, payload, priority, max_attempts, scheduled_at, created_at, unique_key, created_by
    )
    values (
      p_job_type, p_payload, coalesce(p_priority, 0), v_max_attempts, coalesce(p_scheduled_at, now()),
      least(p_scheduled_at, now()), p_unique_key, coalesce(v_claims ->> 'sub', v_claims ->> 'role', session_user)
    )
    on conflict (job_type, unique_key) where unique_key is not null and status in ('pending', 'processing')
    do nothing
    returning id into v_id;
    exit when v_id is not null;

    select j.id into v_id
    from public.job_queue j
    where j.job_type = p_job_type and j.unique_key = p_unique_key and j.status in ('pending', 'processing');
    exit when v_id is not null;
  end loop;
  return v_id;
end
$$;

revoke execute on function public.enqueue_job(text, jsonb, int, int, timestamptz, text) from public, anon, authenticated;
grant execute on function public.enqueue_job(text, jsonb, int, int, timestamptz, text) to service_role;
