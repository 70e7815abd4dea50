-- claim_jobs: the work of claim_next_job, for it and for exchange_jobs.
--
-- p_waits  true: it may wait for the turn. A caller that holds locks already must not wait: the jobs that need the turn
--          are left to the next claim
create or replace function process_jobs.claim_jobs(
  p_job_types text[],
  p_limit int,
  p_lease_seconds int,
  p_waits boolean
) returns table (
  id uuid, job_type text, payload jsonb, status text, priority int, attempt_number int, max_attempts int,
  life int, checkpoint jsonb, event jsonb, cancel_requested boolean, lease_token uuid, lease_expires_at timestamptz,
  lease_seconds int, created_at timestamptz, started_at timestamptz, age_seconds double precision,
  search_from timestamptz, seconds_until_next double precision
)
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- One plan, whatever the statistics say: they may be from when the queue was empty. Without these settings the planner
-- would sort all ready jobs, or plan anew in each call.
set enable_seqscan = off
set enable_sort = off
set enable_bitmapscan = off
set jit = off
set plan_cache_mode = force_generic_plan
-- For the rows that follow a job: a claim does not wait long for whoever has locked them.
set lock_timeout = '20ms'
as $$
#variable_conflict use_column
declare
  v_window int;
  v_woken uuid[];
  v_ready uuid[];
  v_takes_turns boolean;
  v_turn text := 'nobody asked';
  v_counted text[] := '{}';
  v_picked uuid[];
  v_part uuid[];
  v_claimed uuid[] := '{}';
  v_count bigint;
  v_next double precision;
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    raise exception 'p_limit must be between 1 and 1000, not %', coalesce(p_limit::text, 'null') using errcode = '22023';
  end if;
  if p_lease_seconds not between 1 and 86400 then
    raise exception 'p_lease_seconds must be between 1 and 86400, not %', p_lease_seconds using errcode = '22023';
  end if;
  v_window := p_limit + 20;
  -- So that what an app checks at the end of a transaction is refused for one job, and not for all.
  set constraints all immediate;

  if exists (
    select from process_jobs.job_troubles t
    where t.retry_at <= now() and (t.kind in ('effect', 'cancel') or t.retry_at <= now() - interval '10 minutes')
  ) then
    -- It locks jobs, and the turn comes before them.
    if p_waits then
      perform process_jobs.take_turn(true);
    end if;
    perform process_jobs.retry_job_troubles();
  end if;

  loop
    -- What has ended outside, as the job was told, goes before all else, and waits for no hold: its output does not
    -- stay for ever.
    select array_agg(woken.id order by woken.priority desc, woken.created_at, woken.id) into v_woken
    from public.job_types t
    cross join lateral (
      select j.id, j.priority, j.created_at
      from public.job_queue j
      where j.job_type = t.job_type and j.begun and j.woken_at is not null and j.status = 'pending'
        and j.scheduled_at <= now()
      order by j.priority desc, j.created_at, j.id
      limit v_window
    ) woken
    where p_job_types is null or t.job_type = any (p_job_types);

    -- Of each kind, jobs of a type that have begun and those that have not, the first in order, merged: what may not
    -- be claimed is never looked at. Of delayed jobs those that are due are few, and are sorted; only where they
    -- are many is the index of the order read, past those not due.
    select array_agg(ready.id order by ready.priority desc, ready.created_at, ready.id),
      coalesce(bool_or(kind.starts is not null), false)
    into v_ready, v_takes_turns
    from public.job_types t
    cross join lateral (values
      (true, t.begun_held_until, null),
      (false, t.held_until, case
        when t.starts_per_minute is null then null
        when v_turn = 'nobody asked' or t.job_type = any (v_counted) then greatest(0, floor(process_jobs.available_starts(t)))::bigint
        else 0
      end)
    ) kind (begun, held_until, starts)
    cross join lateral (
      select first.id, first.priority, first.created_at
      from (
        (
          select j.id, j.priority, j.created_at
          from public.job_queue j
          where j.job_type = t.job_type and j.begun = kind.begun and not j.delayed and j.status = 'pending'
            and j.scheduled_at <= now()
          order by j.priority desc, j.created_at, j.id
          limit v_window
        )
        union all
        (
          select due.id, due.priority, due.created_at
          from (
            select j.id, j.priority, j.created_at, count(*) over () as jobs
            from (
              select j.id, j.priority, j.created_at
              from public.job_queue j
              where j.job_type = t.job_type and j.begun = kind.begun and j.delayed and j.status = 'pending'
                and j.scheduled_at <= now()
              order by j.scheduled_at
              limit 201
            ) j
          ) due
          where due.jobs <= 200
        )
        union all
        (
          select j.id, j.priority, j.created_at
          from public.job_queue j
          where j.job_type = t.job_type and j.begun = kind.begun and j.delayed and j.status = 'pending'
            and j.scheduled_at <= now()
            and exists (
              select from public.job_queue d
              where d.job_type = t.job_type and d.begun = kind.begun and d.delayed and d.status = 'pending'
                and d.scheduled_at <= now()
              order by d.scheduled_at
              offset 200 limit 1
            )
          order by j.priority desc, j.created_at, j.id
          limit v_window
        )
      ) first
      order by first.priority desc, first.created_at, first.id
      limit least(v_window, kind.starts)
    ) ready
    where (p_job_types is null or t.job_type = any (p_job_types))
      and (kind.held_until is null or kind.held_until <= now())
      and (t.paused_at is null or kind.begun);

    if v_turn = 'nobody asked' and (v_takes_turns or exists (
      select from public.job_queue j
      where j.status = 'processing' and j.lease_expires_at <= now()
        and not exists (
          select from process_jobs.job_troubles b where b.job_id = j.id and b.kind = 'claim' and b.retry_at > now())
    )) then
      -- With rows in hand from a narrower look it is not waited for.
      v_turn := case when process_jobs.take_turn(p_waits and v_picked is null) then 'mine' else 'of others' end;
      continue when v_turn = 'of others';
      begin
        -- A type whose row somebody has begins nothing now.
        select array_agg(counted.job_type) into v_counted
        from (
          select t.job_type from public.job_types t where t.starts_per_minute is not null for update skip locked
        ) counted;
      exception
        when lock_not_available then
          v_counted := '{}';
      end;
      perform process_jobs.take_back_jobs();
      continue;
    end if;

    if v_woken is not null then
      v_ready := v_woken || (select array_agg(r.id) from unnest(v_ready) r (id) where r.id <> all (v_woken));
    end if;
    -- Locked one by one up to the limit, so that no row is locked that is not claimed; the lock looks again whether
    -- a row is still ready. (Not with =, which would let a planner look a row up in a partial index, from its one
    -- end to the other. Where a row changes in this very moment, its next version is waited for in spite of `skip
    -- locked`: whoever holds that for long leaves the next claim more.)
    begin
      select array_agg(picked.id) into v_picked
      from (
        select locked.id
        from unnest(v_ready) ready (id)
        cross join lateral (
          select j.id from public.job_queue j
          where j.id = ready.id and j.status is not distinct from 'pending' and j.scheduled_at <= now()
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
    -- Where others hold so much of what was looked at that too few are left, there may be more.
    exit when cardinality(v_picked) >= p_limit or coalesce(cardinality(v_ready), 0) < v_window;
    v_window := v_window * 8;
  end loop;
  if v_picked is null then
    return;
  end if;

  v_picked := process_jobs.jobs_that_fit(v_picked);

  -- All at once; only where that is refused, one by one.
  for v_n in 0 .. cardinality(v_picked) loop
    v_part := case when v_n = 0 then v_picked else v_picked[v_n:v_n] end;
    begin
      update public.job_queue j
      set status = 'processing',
        attempt_number = j.attempt_number + 1,
        max_attempts = greatest(j.max_attempts, j.attempt_number + 1),
        lease_token = gen_random_uuid(),
        lease_expires_at = now() + make_interval(secs => coalesce(
          p_lease_seconds, (select t.lease_seconds from public.job_types t where t.job_type = j.job_type))),
        started_at = coalesce(j.started_at, now()),
        first_started_at = coalesce(j.first_started_at, now()),
        woken_at = null,
        updated_at = now()
      where j.id = any (v_part);
      get diagnostics v_count = row_count;
      if v_count < cardinality(v_part) then
        raise exception 'a trigger of job_queue lets its row be as it is' using errcode = 'P0001';
      end if;
      v_claimed := v_claimed || v_part;
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

  if v_turn = 'mine' then
    update public.job_types t
    set start_tokens = process_jobs.available_starts(t) - begun.jobs, start_tokens_at = now()
    from (
      select j.job_type, count(*) as jobs
      from public.job_queue j
      where j.id = any (v_claimed) and not j.begun
      group by j.job_type
    ) begun
    where t.job_type = begun.job_type and t.starts_per_minute is not null;
  end if;
  if cardinality(v_claimed) < p_limit then
    v_next := public.seconds_until_next_job(p_job_types);
  end if;
  return query
  select c.id, c.job_type::text, c.payload, c.status::text, c.priority, c.attempt_number, c.max_attempts,
    c.life, c.checkpoint, c.event, c.cancel_requested_at is not null, c.lease_token, c.lease_expires_at,
    extract(epoch from c.lease_expires_at - now())::int, c.created_at, c.started_at,
    extract(epoch from now() - c.started_at)::double precision,
    greatest(c.first_started_at, now() - interval '2 hours') - interval '1 minute', v_next
  from public.job_queue c
  -- (Not joined: a planner that takes the table for empty would go through all of it.)
  where c.id = any (v_claimed)
  order by array_position(v_claimed, c.id);
end
$$;
