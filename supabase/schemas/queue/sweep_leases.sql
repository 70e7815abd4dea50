-- sweep_leases: looks at the claims whose time has come: forgets those whose jobs are all settled, and puts off those with a
-- job at work until the first of their leases ends. Where it has found some it looks at a hundred more whose time is still
-- to come, so that the next claims need not. For do_chores; claims that another session looks at are passed over.
create or replace function process_jobs.sweep_leases() returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set enable_sort = off
set enable_bitmapscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_until timestamptz := now();
  v_over uuid[];
  v_later jsonb;
  v_done int;
begin
  loop
    select array_agg(c.token) filter (where c.ends_at is null),
      jsonb_agg(jsonb_build_object('token', c.token, 'ends_at', c.ends_at)) filter (where c.expires_at <= now() and c.ends_at > now())
    into v_over, v_later
    from (
      select l.token, l.expires_at, (
          select min(j.lease_expires_at)
          from public.job_queue j
          where j.id = any (l.jobs) and j.status = 'processing' and j.lease_token = l.token
        ) as ends_at
      from (
        select l.token, l.expires_at, l.jobs
        from process_jobs.begins b, process_jobs.leases l
        where l.expires_at <= v_until and l.expires_at >= b.leases
        order by l.expires_at
        limit 100
        for update of l skip locked
      ) l
    ) c;
    delete from process_jobs.leases l where l.token = any (v_over);
    update process_jobs.leases l
    set expires_at = c.ends_at
    from jsonb_to_recordset(v_later) c (token uuid, ends_at timestamptz)
    where l.token = c.token;
    v_done := coalesce(cardinality(v_over), 0) + coalesce(jsonb_array_length(v_later), 0);
    exit when v_done = 0 or v_until = 'infinity';
    -- Where fewer were, what is left is somebody's, or lost and to be taken back.
    if v_done < 100 then
      v_until := 'infinity';
    end if;
  end loop;
end
$$;
