-- exchange_jobs: a worker's round trip: records the outcomes of its runs and claims its next jobs.
--
-- p_outcomes   as for settle_jobs, each settled on its own: a refused one does not hinder the others
-- p_job_types  as for claim_next_job
-- p_limit      as for claim_next_job; 0: nothing is claimed
--
-- Returns {"settled": […], "jobs": […], "seconds_until_next": …}. settled has for each outcome
--   true             recorded
--   false            the job is not the caller's any more
--   a text           the reason of a refusal for the outcome itself (SQLSTATE classes 22, 23, 44, P0, PT)
--   {"again": text}  not recorded for a reason that passes or can be mended, a lock or a missing right: send it again.
--                    If the lease ends first, the text is in the message of that end
-- jobs are those of claim_next_job. seconds_until_next is that of seconds_until_next_job if there were fewer than
-- p_limit.
--
-- If another session has locked what an outcome needs, the call waits 300 ms. A state of the server (is_server_state)
-- rolls the whole call back, and it can be called again. Locks are taken in one order: turn, jobs, rows that follow
-- jobs, types; so the turn comes first if the claim will need it or outcomes are tried one by one. Refuses (22023) a
-- p_outcomes that is not a json array, and p_limit outside 0 to 1000.
create or replace function public.exchange_jobs(
  p_outcomes jsonb default '[]',
  p_job_types text[] default null,
  p_limit int default 0
) returns json
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in claim_jobs.
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
set plan_cache_mode = force_generic_plan
-- Below deadlock_timeout: sessions that wait in a ring all the same give up before it counts as a deadlock.
set lock_timeout = '300ms'
as $$
declare
  v_outcome jsonb;
  v_settled jsonb;
  v_has_turn boolean = false;
  v_jobs json;
  v_count int;
  v_next double precision;
begin
  if p_outcomes is null or jsonb_typeof(p_outcomes) <> 'array' then
    raise exception 'p_outcomes must be a json array, not %', coalesce(jsonb_typeof(p_outcomes), 'null') using errcode = '22023';
  end if;
  if p_limit is null or p_limit not between 0 and 1000 then
    raise exception 'p_limit must be between 0 and 1000, not %', coalesce(p_limit::text, 'null') using errcode = '22023';
  end if;

  if p_limit > 0 and p_outcomes <> '[]' and (
    exists (select from public.job_queue j where j.status = 'processing' and j.lease_expires_at <= now())
    or exists (
      select from public.job_types t
      where t.starts_per_minute is not null and (p_job_types is null or t.job_type = any (p_job_types))
        and exists (
          select from public.job_queue j where j.job_type = t.job_type and not j.begun and j.status = 'pending')
    )
  ) then
    v_has_turn := process_jobs.take_turn(true);
  end if;

  -- All at once; only where one is refused, each in a subtransaction of its own, which costs.
  begin
    v_settled := to_jsonb(process_jobs.settle_jobs(p_outcomes));
  exception
    when others then
      if process_jobs.is_server_state(sqlstate) then
        raise;
      end if;
  end;
  if v_settled is null then
    if not v_has_turn then
      v_has_turn := process_jobs.take_turn(true);
    end if;
    v_settled := '[]';
    for v_outcome in select value from jsonb_array_elements(p_outcomes) loop
      begin
        v_settled := v_settled || to_jsonb(process_jobs.settle_jobs(jsonb_build_array(v_outcome)));
      exception
        when others then
          if process_jobs.is_server_state(sqlstate) then
            raise;
          elsif sqlstate ~ '^(22|23|44|P0|PT)' then
            v_settled := v_settled || to_jsonb(sqlerrm);
          else
            v_settled := v_settled || jsonb_build_array(jsonb_build_object('again', sqlerrm));
            perform process_jobs.note_job_trouble(
              (v_outcome ->> 'job_id')::uuid, 'settle', sqlerrm, (v_outcome ->> 'lease_token')::uuid);
          end if;
      end;
    end loop;
  end if;

  if p_limit > 0 then
    select json_agg(to_json(c)), count(*), max(c.seconds_until_next) into v_jobs, v_count, v_next
    from process_jobs.claim_jobs(p_job_types, p_limit, null, v_has_turn or p_outcomes = '[]') c;
    if v_count = 0 then
      v_next := public.seconds_until_next_job(p_job_types);
    end if;
  end if;
  return json_build_object(
    'settled', v_settled,
    'jobs', coalesce(v_jobs, '[]'),
    'seconds_until_next', v_next);
end
$$;

revoke execute on function public.exchange_jobs(jsonb, text[], int) from public, anon, authenticated;
grant execute on function public.exchange_jobs(jsonb, text[], int) to service_role;
