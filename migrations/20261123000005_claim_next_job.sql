-- claim_next_job: gives a worker up to p_limit jobs, each with a lease that only it may settle.
--
-- processing, lease expired, attempts left   -> pending, ready now, one entry more in errors
-- processing, lease expired, attempts spent  -> failed, or cancelled where that was asked for
-- pending and due, of an open type           -> processing, attempt_number + 1, fresh lease_token
--
-- Order: highest priority, then oldest, then id. p_job_types null: every type with a row in job_types.
-- p_lease_seconds null: the type's lease_seconds. A type is open unless it is held; of a paused type only
-- jobs that have begun are claimed; of one with starts_per_minute no more begin than that allows.
-- Jobs that another transaction has locked are passed over, so workers never get the same job and wait for one
-- another only where starts are counted or leases have expired: those claims take turns, by a lock that they take
-- before any other. (They write the type's row last: after the rows of the generations, which is the order of locks
-- everywhere.) A job put back by hand after its last attempt gets one attempt more, and max_attempts rises with it.
-- At most 100 expired leases are taken back in one call.
--
-- What a worker needs beside the columns: cancel_requested; lease_seconds; age_seconds since started_at, by the
-- database's clock; and search_from, before which the job has done nothing outside: a minute before its very first
-- claim, for clocks that differ, and two hours ago at most.
--
-- Refuses (22023) p_limit outside 1 to 1000 and p_lease_seconds outside 1 to 86400.
drop function if exists public.claim_next_job(); -- the first version's; two would be ambiguous
drop function if exists public.claim_next_job(text[], int, int); -- a function's columns cannot be replaced

create or replace function public.claim_next_job(
  p_job_types text[] default null,
  p_limit int default 1,
  p_lease_seconds int default null
) returns table (
  id uuid, job_type text, payload jsonb, status text, priority int, attempt_number int, max_attempts int,
  life int, checkpoint jsonb, event jsonb, cancel_requested boolean, lease_token uuid, lease_expires_at timestamptz,
  lease_seconds int, created_at timestamptz, started_at timestamptz, age_seconds double precision,
  search_from timestamptz
)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- One plan, whatever the statistics say: they may be of when the queue was empty. Without these the planner would
-- sort all that is ready, or plan anew in each call.
set enable_seqscan = off
set enable_sort = off
set enable_bitmapscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_lease_expired constant text := 'lease expired on attempt %s of %s: the worker was killed or lost';
  v_expired uuid[];
  v_window int := p_limit + 20;
  v_ready uuid[];
  v_takes_turns boolean;
  v_its_turn boolean = false;
  v_picked uuid[];
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    raise exception 'p_limit must be between 1 and 1000, not %', p_limit using errcode = '22023';
  end if;
  if p_lease_seconds not between 1 and 86400 then
    raise exception 'p_lease_seconds must be between 1 and 86400, not %', p_lease_seconds using errcode = '22023';
  end if;

  loop
    -- Of each kind, jobs of a type that have begun and those that have not, the first in order, merged: what may not
    -- be claimed is never looked at. Of delayed jobs those that are due are few, and are sorted; only where they
    -- are many is the index of the order read, past those not due.
    select array_agg(ready.id order by ready.priority desc, ready.created_at, ready.id),
      coalesce(bool_or(kind.starts is not null), false)
        or exists (select from public.job_queue j where j.status = 'processing' and j.lease_expires_at <= now())
    into v_ready, v_takes_turns
    from public.job_types t
    cross join lateral (values
      (true, null),
      (false, case when t.starts_per_minute is not null then greatest(0, floor(public.available_starts(t)))::bigint end)
    ) kind (begun, starts)
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
      and (t.held_until is null or t.held_until <= now())
      and (t.paused_at is null or kind.begun);

    if v_takes_turns and not v_its_turn then
      perform pg_advisory_xact_lock(hashtext('claim_next_job: turns'));
      v_its_turn := true;
      select array_agg(expired.id) into v_expired
      from (
        select j.id
        from public.job_queue j
        where j.status = 'processing' and j.lease_expires_at <= now()
        order by j.lease_expires_at
        limit 100
        for update skip locked
      ) expired;
      update public.job_queue j
      set status = case
          when j.attempt_number < j.max_attempts then 'pending'
          when j.cancel_requested_at is not null then 'cancelled'
          else 'failed'
        end,
        errors = j.errors || jsonb_build_object(
          'attempt', j.attempt_number, 'at', now(), 'kind', 'lease_expired',
          'message', format(v_lease_expired, j.attempt_number, j.max_attempts)),
        error_message = format(v_lease_expired, j.attempt_number, j.max_attempts),
        completed_at = case when j.attempt_number < j.max_attempts then null else now() end,
        event = case when j.attempt_number < j.max_attempts then j.event end,
        lease_token = null, lease_expires_at = null, updated_at = now()
      where j.id = any (v_expired);
      continue;
    end if;

    -- Locked one by one up to the limit, so that no row is locked that is not claimed; the lock looks again whether
    -- a row is still ready. (Not with =, which would let a planner look a row up in a partial index, from its one
    -- end to the other.)
    select array_agg(picked.id) into v_picked
    from (
      select locked.id
      from unnest(v_ready) ready (id)
      cross join lateral (
        select j.id from public.job_queue j
        where j.id = ready.id and j.status is not distinct from 'pending' and j.scheduled_at <= now()
        for update skip locked
      ) locked
      limit p_limit
    ) picked;
    -- Where others hold so much of what was looked at that too few are left, there may be more.
    exit when cardinality(v_picked) >= p_limit or coalesce(cardinality(v_ready), 0) < v_window;
    v_window := v_window * 8;
  end loop;
  if v_picked is null then
    return;
  end if;

  return query
  with claimed as (
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
    where j.id = any (v_picked)
    returning j.*
  )
  select c.id, c.job_type, c.payload, c.status, c.priority, c.attempt_number, c.max_attempts,
    c.life, c.checkpoint, c.event, c.cancel_requested_at is not null, c.lease_token, c.lease_expires_at,
    extract(epoch from c.lease_expires_at - now())::int, c.created_at, c.started_at,
    extract(epoch from now() - c.started_at)::double precision,
    greatest(c.first_started_at, now() - interval '2 hours') - interval '1 minute'
  from claimed c
  order by c.priority desc, c.created_at, c.id;

  if v_its_turn then
    update public.job_types t
    set start_tokens = public.available_starts(t) - begun.jobs, start_tokens_at = now()
    from (
      select j.job_type, count(*) as jobs
      from public.job_queue j
      where j.id = any (v_picked) and not j.begun
      group by j.job_type
    ) begun
    where t.job_type = begun.job_type and t.starts_per_minute is not null;
  end if;
end
$$;

revoke execute on function public.claim_next_job(text[], int, int) from public, anon, authenticated;
grant execute on function public.claim_next_job(text[], int, int) to service_role;
