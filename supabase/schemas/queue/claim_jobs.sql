-- claim_jobs: the work of claim_next_job, for it and for exchange_jobs.
--
-- p_has_chores  has_chores' answer
-- p_waits       true: it may wait for the turn. A caller that holds locks already must not wait: the jobs that need the
--               turn are left to the next claim
--
-- Returns the ids of the claimed jobs, in the claim's order; each as the json object that exchange_jobs answers; and
-- seconds_until_next, if there were fewer than p_limit. The caller's settings leave the planner one plan (exchange_jobs).
create or replace function process_jobs.claim_jobs(
  p_job_types text[],
  p_limit int,
  p_lease_seconds int,
  p_has_chores boolean,
  p_waits boolean,
  out ids uuid[],
  out jobs text[],
  out seconds_until_next double precision
)
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- For the rows that follow a job: a claim does not wait long for whoever has locked them.
set lock_timeout = '20ms'
as $$
declare
  v_window int;
  v_counted text[];
  v_looked bigint;
  v_passed bigint;
  v_picked uuid[];
  v_places tid[];
  v_bytes bigint;
  v_token constant uuid := gen_random_uuid();
  v_part uuid[];
  v_part_places tid[];
  v_part_jobs text[];
  v_gone bigint;
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    raise exception 'p_limit must be between 1 and 1000, not %', coalesce(p_limit::text, 'null') using errcode = '22023';
  end if;
  if p_lease_seconds not between 1 and 86400 then
    raise exception 'p_lease_seconds must be between 1 and 86400, not %', p_lease_seconds using errcode = '22023';
  end if;
  v_window := 4 * p_limit + 4;
  ids := '{}';
  jobs := '{}';
  -- So that what an app checks at the end of a transaction is refused for one job, and not for all.
  set constraints all immediate;

  if p_has_chores then
    v_counted := process_jobs.do_chores(p_job_types, p_limit, p_waits);
  end if;

  loop
    v_looked := pg_stat_get_xact_tuples_fetched('process_jobs.ready_jobs'::regclass);
    v_passed := pg_stat_get_xact_tuples_returned('process_jobs.ready_jobs_order'::regclass);
    -- Of each lane that is open, the first in order, merged: what may not be claimed is never looked at. What has
    -- ended outside, as the job was told (lane 2), goes before all else, and waits for no hold: its output does not
    -- stay for ever. Locked one by one up to the limit, so that no row is locked that is not claimed; the lock looks
    -- again whether a row is still ready. (Where a row changes in this very moment, its next version is waited for in
    -- spite of `skip locked`: whoever holds that for long leaves the next claim more.)
    begin
      select array_agg(picked.id), array_agg(picked.place), sum(picked.bytes)
      into v_picked, v_places, v_bytes
      from (
        select locked.id, first.place, locked.bytes
        from (
          select r.id, r.place
          from public.job_types t
          cross join lateral (values
            (0::smallint, t.paused_at is null and (t.held_until is null or t.held_until <= now()), case
              when t.starts_per_minute is null then null
              when t.job_type = any (v_counted) then greatest(0, floor(process_jobs.available_starts(t)))::bigint
              else 0
            end),
            (1, t.begun_held_until is null or t.begun_held_until <= now(), null),
            (2, true, null)
          ) lane (lane, is_open, starts)
          left join process_jobs.marks m
            on m.job_type = t.job_type collate "C" and m.lane = lane.lane and m.look_at > now()
          cross join lateral (
            select r.id, r.ctid as place, r.rank, r.created_at
            from process_jobs.ready_jobs r
            where r.job_type = t.job_type collate "C" and r.lane = lane.lane
              and (r.rank, r.created_at, r.id) >= (
                coalesce(m.rank, -9223372036854775808), coalesce(m.created_at, '-infinity'),
                coalesce(m.id, '00000000-0000-0000-0000-000000000000'))
            order by r.rank, r.created_at, r.id
            limit least(v_window, lane.starts)
          ) r
          where (p_job_types is null or t.job_type = any (p_job_types)) and lane.is_open
          order by lane.lane = 2 desc,
            case
              when t.priority_ages_seconds is null then -r.rank
              else (extract(epoch from now()) * 1000000 - r.rank) / (t.priority_ages_seconds * 1000000)
            end desc,
            r.created_at, r.id
        ) first
        cross join lateral (
          select j.id,
            pg_column_size(j.payload) + coalesce(pg_column_size(j.checkpoint), 0) + coalesce(pg_column_size(j.event), 0) as bytes
          from public.job_queue j
          where j.id = first.id and j.status is not distinct from 'pending' and j.scheduled_at <= now()
            and not exists (
              select from process_jobs.job_troubles b where b.job_id = j.id and b.kind = 'claim' and b.retry_at > now())
          for update skip locked
        ) locked
        limit p_limit
      ) picked;
    exception
      when lock_not_available then
        return;
    end;
    v_looked := pg_stat_get_xact_tuples_fetched('process_jobs.ready_jobs'::regclass) - v_looked;
    v_passed := pg_stat_get_xact_tuples_returned('process_jobs.ready_jobs_order'::regclass) - v_passed - v_looked;
    if v_passed > 1000 then
      perform process_jobs.raise_marks(p_job_types);
    end if;
    -- Where others hold so much of what was looked at that too few are left, there may be more.
    exit when cardinality(v_picked) >= p_limit or v_looked < v_window;
    v_window := v_window * 8;
  end loop;

  -- All at once; only where that is refused, one by one.
  v_picked := process_jobs.jobs_that_fit(v_picked, v_bytes);
  for v_n in 0 .. coalesce(cardinality(v_picked), 0) loop
    v_part := case when v_n = 0 then v_picked else v_picked[v_n:v_n] end;
    v_part_places := case when v_n = 0 then v_places[:cardinality(v_picked)] else v_places[v_n:v_n] end;
    exit when v_part is null;
    begin
      with claimed as (
        update public.job_queue j
        set status = 'processing',
          attempt_number = j.attempt_number + 1,
          max_attempts = greatest(j.max_attempts, j.attempt_number + 1),
          lease_token = v_token,
          lease_expires_at = now() + make_interval(secs => coalesce(
            p_lease_seconds, (select t.lease_seconds from public.job_types t where t.job_type = j.job_type))),
          started_at = coalesce(j.started_at, now()),
          first_started_at = coalesce(j.first_started_at, now()),
          woken_at = null,
          updated_at = now(),
          revision = j.revision + 1
        where j.id = any (v_part)
        returning j.*
      ), gone as (
        delete from process_jobs.ready_jobs r where r.ctid = any (v_part_places) returning r.id
      ), leased as (
        insert into process_jobs.leases as l (token, expires_at, jobs)
        select v_token, min(c.lease_expires_at), array_agg(c.id) from claimed c
        on conflict (token) do update
        set expires_at = least(l.expires_at, excluded.expires_at), jobs = l.jobs || excluded.jobs
      )
      -- (json_build_object would look the type of each value up, in each row.)
      select array_agg(concat(
          '{"id":"', c.id, '","job_type":', to_json(c.job_type::text), ',"payload":', c.payload, ',"priority":', c.priority,
          ',"attempt_number":', c.attempt_number, ',"max_attempts":', c.max_attempts, ',"life":', c.life,
          ',"checkpoint":', coalesce(c.checkpoint, 'null'), ',"event":', coalesce(c.event, 'null'),
          ',"cancel_requested":', case when c.cancel_requested_at is null then 'false' else 'true' end,
          ',"lease_token":"', c.lease_token, '","lease_seconds":', extract(epoch from c.lease_expires_at - now())::int,
          ',"age_seconds":', to_json(extract(epoch from now() - c.started_at)::double precision),
          ',"search_from":', to_json(greatest(c.first_started_at, now() - interval '2 hours') - interval '1 minute'), '}'
        ) order by array_position(v_part, c.id)),
        (select count(*) from gone)
      into v_part_jobs, v_gone
      from claimed c;
      if coalesce(cardinality(v_part_jobs), 0) < cardinality(v_part) then
        raise exception 'a trigger of job_queue lets its row be as it is' using errcode = 'P0001';
      end if;
      if v_gone < cardinality(v_part) then
        -- They have moved since they were looked at.
        delete from process_jobs.ready_jobs r where r.id = any (v_part);
      end if;
      ids := ids || v_part;
      jobs := jobs || v_part_jobs;
      exit when v_n = 0;
    exception
      when others then
        if process_jobs.is_server_state(sqlstate) then
          raise;
        elsif v_n > 0 then
          perform process_jobs.note_job_trouble(v_part[1], 'claim', 'it cannot be claimed: ' || sqlerrm);
        end if;
    end;
  end loop;

  if v_counted is not null and ids <> '{}' then
    update public.job_types t
    set start_tokens = process_jobs.available_starts(t) - begun.jobs, start_tokens_at = now()
    from (
      select j.job_type, count(*) as jobs
      from public.job_queue j
      where j.id = any (ids) and j.checkpoint is null
      group by j.job_type
    ) begun
    where t.job_type = begun.job_type and t.starts_per_minute is not null;
  end if;
  if cardinality(ids) < p_limit then
    seconds_until_next := public.seconds_until_next_job(p_job_types);
  end if;
end
$$;
