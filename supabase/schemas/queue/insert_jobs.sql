-- insert_jobs: the work of enqueue_jobs, which has looked at p_jobs. It makes the rows that insert_job makes, in one
-- statement: a statement for each would cost several times as much.
--
-- p_created_by becomes null if the column's type cannot hold it.
create or replace function process_jobs.insert_jobs(p_jobs jsonb, p_created_by text) returns uuid[]
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_created_by public.job_queue.created_by%type;
  v_ids uuid[];
  v_are_known boolean;
  v_are_made boolean;
  v_types_notify boolean := exists (select from public.job_types t where t.notify_url is not null);
begin
  -- The column may be a uuid, as ids of users are.
  begin
    v_created_by := p_created_by;
  exception
    when invalid_text_representation then
      null;
  end;

  -- As in insert_job, each key is reserved before. In one order in all calls, so that none waits for another that waits
  -- for it: of keys, and below of generations.
  loop
    insert into process_jobs.unfinished_keys (job_type, unique_key)
    select distinct e.job_type collate "C" as job_type, e.unique_key collate "C" as unique_key
    from jsonb_to_recordset(p_jobs) as e (job_type text, unique_key text)
    where e.unique_key is not null
    order by 1, 2
    on conflict do nothing;
    select array_agg(k.id order by e.n), bool_and(e.unique_key is null or k.unique_key is not null)
    into v_ids, v_are_known
    from rows from (jsonb_to_recordset(p_jobs) as (job_type text, unique_key text)) with ordinality e (job_type, unique_key, n)
    left join process_jobs.unfinished_keys k
      on k.job_type = e.job_type collate "C" and k.unique_key = e.unique_key collate "C";
    exit when v_are_known is not false;
  end loop;

  with job as materialized (
    select e.*,
      e.id is null and (
        e.unique_key is null or row_number() over (partition by e.job_type, e.unique_key order by e.n) = 1) as is_new
    from (
      -- In the order given, which is that in which they are claimed.
      select r.*, process_jobs.new_job_id() as new_id
      from rows from (
        jsonb_to_recordset(p_jobs) as (
          job_type text, payload jsonb, priority int, max_attempts int, scheduled_at timestamptz, unique_key text,
          notify_url text),
        unnest(v_ids)
      ) with ordinality r (job_type, payload, priority, max_attempts, scheduled_at, unique_key, notify_url, id, n)
    ) e
    order by e.job_type, e.unique_key, e.payload ->> 'generation_id', e.n
  ), inserted as (
    insert into public.job_queue (
      id, job_type, payload, status, priority, attempt_number, max_attempts, scheduled_at, created_at, updated_at,
      unique_key, created_by, notify_url
    )
    select n.new_id, n.job_type, n.payload, 'pending', coalesce(n.priority, 0), 0, coalesce(n.max_attempts, 3),
      coalesce(n.scheduled_at, now()), least(n.scheduled_at, now()), now(), n.unique_key, v_created_by,
      coalesce(n.notify_url, case
        when v_types_notify then (select t.notify_url from public.job_types t where t.job_type = n.job_type)
      end)
    from job n
    where n.is_new
    returning id
  )
  select array_agg(coalesce(a.id, a.made) order by a.n),
    array(select i.id from inserted i) = array(select n.new_id from job n where n.is_new)
  into v_ids, v_are_made
  from (
    select n.n, n.id,
      first_value(n.new_id) over (
        partition by n.job_type, n.unique_key, case when n.unique_key is null then n.n end order by n.n) as made
    from job n
  ) a;
  if not v_are_made then
    raise exception 'a trigger of job_queue has taken no job' using errcode = '22023';
  end if;
  -- As in insert_job.
  delete from process_jobs.unfinished_keys k
  where k.ctid = any (array(
    select held.place
    from jsonb_to_recordset(p_jobs) as e (job_type text, unique_key text)
    cross join lateral (
      select h.ctid as place from process_jobs.unfinished_keys h
      where h.job_type = e.job_type collate "C" and h.unique_key = e.unique_key collate "C" and h.id is null
      offset 0
    ) held));
  return coalesce(v_ids, '{}');
end
$$;
