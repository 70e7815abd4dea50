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
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_created_by public.job_queue.created_by%type;
  v_ids uuid[] := array_fill(null::uuid, array[jsonb_array_length(p_jobs)]);
  v_lost boolean;
  v_constraint text;
begin
  -- The column may be a uuid, as ids of users are.
  begin
    v_created_by := p_created_by;
  exception
    when invalid_text_representation then
      null;
  end;

  -- A job that holds a key may end between the insert and the look for it: then the key is free.
  for v_n in 1 .. 100 loop
    v_ids := array(
      select coalesce(e.id, (
        select k.id
        from process_jobs.unfinished_keys k
        where k.job_type = e.job_type collate "C" and k.unique_key = e.unique_key collate "C"))
      from rows from (jsonb_to_recordset(p_jobs) as (job_type text, unique_key text), unnest(v_ids))
        with ordinality e (job_type, unique_key, id, n)
      order by e.n);
    exit when array_position(v_ids, null) is null;

    begin
      with job as materialized (
        select e.*, gen_random_uuid() as new_id,
          e.id is null and (
            e.unique_key is null or row_number() over (partition by e.job_type, e.unique_key order by e.n) = 1) as is_new
        from rows from (
          jsonb_to_recordset(p_jobs) as (
            job_type text, payload jsonb, priority int, max_attempts int, scheduled_at timestamptz, unique_key text),
          unnest(v_ids)
        ) with ordinality e (job_type, payload, priority, max_attempts, scheduled_at, unique_key, id, n)
      ), inserted as (
        insert into public.job_queue (
          id, job_type, payload, status, priority, attempt_number, max_attempts, scheduled_at, created_at, updated_at,
          unique_key, created_by
        )
        select n.new_id, n.job_type, n.payload, 'pending', coalesce(n.priority, 0), 0, coalesce(n.max_attempts, 3),
          coalesce(n.scheduled_at, now()), least(n.scheduled_at, now()), now(), n.unique_key, v_created_by
        from job n
        where n.is_new
        -- One order in all calls, so that none waits for another that waits for it: of keys, then of generations.
        order by n.job_type, n.unique_key, n.payload ->> 'generation_id', n.n
        returning id
      )
      select array_agg(a.id order by a.n), bool_or(a.id is null and a.unique_key is null)
      into v_ids, v_lost
      from (
        select n.n, n.unique_key,
          case when n.is_new and n.new_id in (select i.id from inserted i) then n.new_id else n.id end as id
        from job n
      ) a;
    exception
      when unique_violation then
        get stacked diagnostics v_constraint = constraint_name;
        if v_constraint <> 'job_queue_unique_unfinished' then
          raise;
        end if;
    end;
    exit when v_lost or array_position(v_ids, null) is null;
  end loop;
  if array_position(v_ids, null) is not null then
    raise exception 'a trigger of job_queue has taken no job' using errcode = '22023';
  end if;
  return v_ids;
end
$$;
