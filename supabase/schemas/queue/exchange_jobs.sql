-- exchange_jobs: a worker's round trip: records the outcomes of its runs and claims its next jobs.
--
-- p_outcomes     as for settle_jobs, each settled on its own: a refused one does not hinder the others
-- p_job_types    as for claim_next_job
-- p_limit        as for claim_next_job; 0: nothing is claimed
-- p_lease_token  as for claim_next_job
--
-- Returns {"settled": […], "jobs": […], "seconds_until_next": …}. settled has for each outcome
--   true             recorded
--   false            the job is not the caller's any more
--   a text           the reason of a refusal for the outcome itself (SQLSTATE classes 22, 23, 44, P0, PT)
--   {"again": text}  not recorded for a reason that passes or can be mended, a lock or a missing right: send it again.
--                    If the lease ends first, the text is in the message of that end
-- jobs are objects with the columns of claim_next_job that a worker reads, in the claim's order. seconds_until_next is
-- that of seconds_until_next_job if there were fewer than p_limit.
--
-- If another session has locked what an outcome needs, the call waits 300 ms. A state of the server (is_server_state)
-- rolls the whole call back, and it can be called again. Locks are taken in one order: turn, jobs, rows that follow
-- jobs, types; so the turn comes first if the claim will need it or outcomes are tried one by one. Refuses (22023) a
-- p_outcomes that is not a json array, and p_limit outside 0 to 1000.
create or replace function public.exchange_jobs(
  p_outcomes jsonb default '[]',
  p_job_types text[] default null,
  p_limit int default 0,
  p_lease_token uuid default null
) returns json
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- One plan for all that is called from here, whatever the statistics say: they may be from when the queue was empty.
-- Without these settings the planner would sort all ready jobs, or plan anew in each call.
set enable_seqscan = off
set enable_sort = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_generic_plan
-- Below deadlock_timeout: sessions that wait in a ring all the same give up before it counts as a deadlock.
set lock_timeout = '300ms'
as $$
declare
  v_outcome jsonb;
  v_settled jsonb;
  v_has_chores boolean;
  v_has_turn boolean := false;
  v_claim record;
  v_jobs text[];
  v_next double precision;
begin
  if p_outcomes is null or jsonb_typeof(p_outcomes) <> 'array' then
    raise exception 'p_outcomes must be a json array, not %', coalesce(jsonb_typeof(p_outcomes), 'null') using errcode = '22023';
  end if;
  if p_limit is null or p_limit not between 0 and 1000 then
    raise exception 'p_limit must be between 0 and 1000, not %', coalesce(p_limit::text, 'null') using errcode = '22023';
  end if;

  v_has_chores := p_limit > 0 and process_jobs.has_chores(p_job_types);
  if v_has_chores and p_outcomes <> '[]' and process_jobs.needs_turn(p_job_types) then
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
    v_claim := process_jobs.claim_jobs(
      p_job_types, p_limit, null, p_lease_token, v_has_chores, v_has_turn or p_outcomes = '[]');
    v_jobs := v_claim.jobs;
    v_next := v_claim.seconds_until_next;
  end if;
  return concat('{"settled":', v_settled, ',"jobs":[', array_to_string(v_jobs, ','), '],"seconds_until_next":',
    coalesce(to_json(v_next)::text, 'null'), '}');
end
$$;

revoke execute on function public.exchange_jobs(jsonb, text[], int, uuid) from public, anon, authenticated;
grant execute on function public.exchange_jobs(jsonb, text[], int, uuid) to service_role;
