-- claim_jobs: the work of claim_next_job, for it and for exchange_jobs.
--
-- p_lease_token  of the claim: if there is such a lease, the answer to that claim was lost, and its jobs are answered again
-- p_has_chores   has_chores' answer
-- p_waits        true: it may wait for the turn. A caller that holds locks already must not wait: the jobs that need the
--                turn are left to the next claim
--
-- Returns the ids of the claimed jobs, in the claim's order; each as the json object that exchange_jobs answers; and
-- seconds_until_next, if there were fewer than p_limit. The caller's settings leave the planner one plan (exchange_jobs).
create or replace function process_jobs.claim_jobs(
  p_job_types text[],
  p_limit int,
  p_lease_seconds int,
  p_lease_token uuid,
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
  v_is_again boolean := false;
  v_calls boolean := true;
  v_counted text[];
  v_ready constant oid := 'process_jobs.ready_jobs'::regclass;
  v_order constant oid := 'process_jobs.ready_jobs_order'::regclass;
  v_read bigint;
  v_walked bigint;
  v_deleted bigint;
  v_picked uuid[];
  -- No more fits into an answer of PostgREST.
  v_max_bytes constant int := 8388608;
  v_bytes bigint;
  -- Of all that is picked; null: they differ.
  v_lease_seconds int;
  v_token constant uuid := coalesce(p_lease_token, gen_random_uuid());
  v_part uuid[];
  v_claimed uuid[];
  v_part_jobs text[];
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

  if p_lease_token is not null then
    -- While that claim is still under way, this one waits, and then fails.
    perform pg_advisory_xact_lock(hashtextextended(p_lease_token::text, 0));
    select array_agg(locked.id) into v_picked
    from process_jobs.leases l
    cross join lateral unnest(l.jobs) at_work (id)
    cross join lateral (
      select j.id from public.job_queue j
      where j.id = at_work.id and j.status is not distinct from 'processing' and j.lease_token = p_lease_token
      for update skip locked
    ) locked
    where l.token = p_lease_token;
    v_is_again := v_picked is not null;
  end if;

  while not v_is_again loop
    v_read := pg_stat_get_xact_tuples_returned(v_order);
    v_walked := v_read + 50 * (pg_stat_get_xact_blocks_fetched(v_order) - 5 * pg_stat_get_xact_numscans(v_order));
    -- Of each lane that is open, the first in order, merged: what may not be claimed is never looked at. What has
    -- ended outside, as the job was told (lane 2), goes before all else, and waits for no hold: its output does not
    -- stay for ever. Locked one by one up to the limit, so that no row is locked that is not claimed; the lock looks
    -- again whether a row is still ready. (Where a row changes in this very moment, its next version is waited for in
    -- spite of `skip locked`: whoever holds that for long leaves the next claim more.)
    begin
      select array_agg(picked.id), sum(picked.bytes), bool_or(picked.is_called),
        case when min(picked.lease_seconds) = max(picked.lease_seconds) then min(picked.lease_seconds) end
      into v_picked, v_bytes, v_calls, v_lease_seconds
      from (
        select locked.id, locked.bytes, first.is_called, first.lease_seconds
        from (
          select r.id, l.is_called, l.lease_seconds
          from process_jobs.lanes l
          cross join lateral (
            select r.id, r.rank, r.created_at
            from process_jobs.ready_jobs r
            where r.job_type = l.job_type collate "C" and r.lane = l.lane
              and (r.rank, r.created_at, r.id) >= (l.from_rank, l.from_created_at, l.from_id)
            order by r.rank, r.created_at, r.id
            limit case
              when l.starts_per_minute is null then v_window
              when l.job_type = any (v_counted) then least(v_window, greatest(0, floor(l.available_starts)))::bigint
              else 0
            end
          ) r
          where (p_job_types is null or l.handler = any (p_job_types)) and l.is_open
          order by l.lane = 2 desc,
            case
              when l.is_fair then -(r.rank >> 31)
              when l.priority_ages_seconds is null then -r.rank
              else (extract(epoch from now()) * 1000000 - r.rank) / (l.priority_ages_seconds * 1000000)
            end desc,
            -- (Of a lane with turns all are as old as its first, or they would be taken by age.)
            case
              when l.is_fair then (
                select r.created_at
                from process_jobs.ready_jobs r
                where r.job_type = l.job_type collate "C" and r.lane = l.lane
                  and (r.rank, r.created_at, r.id) >= (l.from_rank, l.from_created_at, l.from_id)
                order by r.rank, r.created_at, r.id
                limit 1)
              else r.created_at
            end,
            r.rank, r.created_at, r.id
        ) first
        cross join lateral (
          select j.id,
            pg_column_size(j.payload) + coalesce(pg_column_size(j.checkpoint), 0) + coalesce(pg_column_size(j.event), 0) as bytes
          from public.job_queue j
          where j.id = first.id and j.status is not distinct from 'pending' and j.scheduled_at <= now()
            and j.id not in (select b.job_id from process_jobs.job_troubles b where b.kind = 'claim' and b.retry_at > now())
          for update skip locked
        ) locked
        limit p_limit
      ) picked;
    exception
      when lock_not_available then
        return;
    end;
    v_read := pg_stat_get_xact_tuples_returned(v_order) - v_read;
    -- Entries passed over that are gone, a page of them counted as fifty: vacuum has not come yet, or cannot.
    v_walked := pg_stat_get_xact_tuples_returned(v_order)
      + 50 * (pg_stat_get_xact_blocks_fetched(v_order) - 5 * pg_stat_get_xact_numscans(v_order)) - v_walked;
    if v_walked > 1000 then
      perform process_jobs.raise_marks(p_job_types);
    end if;
    -- Where others hold all that was looked at, there may be more. A few that are left are enough: to look past what is
    -- locked costs more than to come again. (Whether an entry that was read is gone is not known where vacuum has been:
    -- then it is looked at in the index only.)
    exit when v_picked is not null or v_read < v_window;
    v_window := v_window * 8;
  end loop;

  -- All at once; only where that is refused, one by one. (Compressed, text is up to 255 times as short.)
  if v_bytes > v_max_bytes / 255 then
    v_picked := process_jobs.jobs_that_fit(v_picked, v_max_bytes);
  end if;
  for v_n in 0 .. coalesce(cardinality(v_picked), 0) loop
    v_part := case when v_n = 0 then v_picked else v_picked[v_n:v_n] end;
    exit when v_part is null;
    begin
      v_deleted := pg_stat_get_xact_tuples_deleted(v_ready);
      with claimed as (
        update public.job_queue j
        set status = 'processing',
          attempt_number = j.attempt_number + case when v_is_again then 0 else 1 end,
          max_attempts = greatest(j.max_attempts, j.attempt_number + case when v_is_again then 0 else 1 end),
          lease_token = v_token,
          lease_expires_at = now() + make_interval(secs => coalesce(
            p_lease_seconds, v_lease_seconds,
            (select t.lease_seconds from public.job_types t where t.job_type = j.job_type))),
          started_at = coalesce(j.started_at, now()),
          first_started_at = coalesce(j.first_started_at, now()),
          woken_at = null,
          updated_at = now(),
          moves = j.moves + 1
        where j.id = any (v_part)
        -- (json_build_object would look the type of each value up, in each row.)
        returning j.id, j.status, j.lease_expires_at, concat(
          '{"id":"', j.id, '","job_type":', to_json(j.job_type::text), ',"payload":', j.payload, ',"priority":', j.priority,
          ',"attempt_number":', j.attempt_number, ',"max_attempts":', j.max_attempts, ',"life":', j.life,
          ',"checkpoint":', coalesce(j.checkpoint, 'null'), ',"event":', coalesce(j.event, 'null'),
          ',"cancel_requested":', case when j.cancel_requested_at is null then 'false' else 'true' end,
          ',"lease_token":"', j.lease_token, '","lease_seconds":', extract(epoch from j.lease_expires_at - now())::int,
          ',"age_seconds":', extract(epoch from now() - j.started_at)::double precision,
          ',"search_from":', to_json(greatest(j.first_started_at, now() - interval '2 hours') - interval '1 minute'), '}'
        ) as job
      ), gone as (
        delete from process_jobs.ready_jobs r where r.id = any (v_part)
      ), leased as (
        insert into process_jobs.leases as l (token, expires_at, jobs)
        values (v_token, (select coalesce(min(c.lease_expires_at), now()) from claimed c), v_part)
        on conflict (token) do update
        set expires_at = least(l.expires_at, excluded.expires_at),
          jobs = case when excluded.jobs <@ l.jobs then l.jobs else l.jobs || excluded.jobs end
      )
      select array_agg(c.id), array_agg(c.job) into v_claimed, v_part_jobs
      from claimed c where c.status = 'processing';
      if coalesce(cardinality(v_claimed), 0) < cardinality(v_part) then
        raise exception 'a trigger of job_queue lets its row be as it is' using errcode = 'P0001';
      end if;
      if v_claimed <> v_part then
        v_part_jobs := array(
          select v_part_jobs[array_position(v_claimed, p.id)] from unnest(v_part) with ordinality p (id, n) order by p.n);
      end if;
      if pg_stat_get_xact_tuples_deleted(v_ready) - v_deleted < cardinality(v_part) then
        -- They have moved since they were looked at.
        delete from process_jobs.waiting_jobs w where w.id = any (v_part);
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

  -- What is called is told here, where it costs other claims nothing.
  if v_calls then
    jobs := array(
      select case when t.call_function is null then c.job else concat(left(c.job, -1), ',"call_function":"', t.call_function,
        '","call_timeout_seconds":', coalesce(t.call_timeout_seconds::text, 'null'), '}') end
      from unnest(ids, jobs) with ordinality c (id, job, n)
      join public.job_queue j on j.id = c.id
      left join public.job_types t on t.job_type = j.job_type
      order by c.n);
  end if;
  if v_counted is not null and ids <> '{}' and not v_is_again then
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
