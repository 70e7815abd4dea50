-- sweep_leases: looks at the claims whose time has come, until it finds lost jobs to take back (true), and forgets those
-- whose jobs are all settled. For claim_jobs; claims that another session looks at are passed over.
create or replace function process_jobs.sweep_leases() returns boolean
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
  v_over uuid[];
  v_later jsonb;
  v_is_lost boolean;
  v_count bigint;
begin
  loop
    select array_agg(c.token) filter (where c.ends_at is null),
      jsonb_agg(jsonb_build_object('token', c.token, 'ends_at', c.ends_at)) filter (where c.ends_at > now()),
      coalesce(bool_or(c.ends_at <= now()), false), count(*)
    into v_over, v_later, v_is_lost, v_count
    from (
      select l.token, (
          select min(greatest(j.lease_expires_at, (
            select b.retry_at from process_jobs.job_troubles b where b.job_id = j.id and b.kind = 'claim')))
          from public.job_queue j
          where j.id = any (l.jobs) and j.status = 'processing' and j.lease_token = l.token
        ) as ends_at
      from (
        select l.token, l.jobs
        from process_jobs.leases l
        where l.expires_at <= now() and l.expires_at >= coalesce(
          (select m.begins_at from process_jobs.time_marks m where m.place = 'leases' and m.look_at > now()), '-infinity')
        order by l.expires_at
        limit 100
        for update skip locked
      ) l
    ) c;
    if v_over is not null then
      delete from process_jobs.leases l where l.token = any (v_over);
    end if;
    if v_later is not null then
      update process_jobs.leases l
      set expires_at = c.ends_at
      from jsonb_to_recordset(v_later) c (token uuid, ends_at timestamptz)
      where l.token = c.token;
    end if;
    exit when v_is_lost or v_count < 100;
  end loop;
  return v_is_lost;
end
$$;
