-- exchange_jobs: a worker's round trip: records what its runs came to and claims what it runs next.
--
-- p_outcomes   what settle_jobs takes, each on its own: one that is refused hinders no other
-- p_job_types  as for claim_next_job
-- p_limit      as for claim_next_job; 0: nothing is claimed
--
-- Answers {"settled": […], "jobs": […], "seconds_until_next": …}. settled has for each outcome true: recorded, false:
-- the job is not the caller's any more, or a text: refused, and why. jobs are those of claim_next_job.
-- seconds_until_next is that of seconds_until_next_job, for when there were fewer than p_limit.
--
-- A deadlock or a serialization failure undoes it all, and it can be called again.
-- Refuses (22023) a p_outcomes that is no json array, and p_limit outside 0 to 1000.
create or replace function public.exchange_jobs(
  p_outcomes jsonb default '[]',
  p_job_types text[] default null,
  p_limit int default 0
) returns json
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_outcome jsonb;
  v_settled jsonb;
  v_jobs json;
  v_count int = 0;
begin
  if p_outcomes is null or jsonb_typeof(p_outcomes) <> 'array' then
    raise exception 'p_outcomes must be a json array, not %', coalesce(jsonb_typeof(p_outcomes), 'null') using errcode = '22023';
  end if;
  if p_limit is null or p_limit not between 0 and 1000 then
    raise exception 'p_limit must be between 0 and 1000, not %', coalesce(p_limit::text, 'null') using errcode = '22023';
  end if;

  -- All at once; only where one is refused, each in a subtransaction of its own, which costs.
  begin
    v_settled := to_jsonb(public.settle_jobs(p_outcomes));
  exception
    when others then
      if sqlstate like '40%' then
        raise;
      end if;
      v_settled := '[]';
      for v_outcome in select value from jsonb_array_elements(p_outcomes) loop
        begin
          v_settled := v_settled || to_jsonb(public.settle_jobs(jsonb_build_array(v_outcome)));
        exception
          when others then
            if sqlstate like '40%' then
              raise;
            end if;
            v_settled := v_settled || to_jsonb(sqlerrm);
        end;
      end loop;
  end;

  if p_limit > 0 then
    select json_agg(to_json(c)), count(*) into v_jobs, v_count
    from public.claim_next_job(p_job_types, p_limit) c;
  end if;
  return json_build_object(
    'settled', v_settled,
    'jobs', coalesce(v_jobs, '[]'),
    'seconds_until_next', case when v_count < p_limit then public.seconds_until_next_job(p_job_types) end);
end
$$;

revoke execute on function public.exchange_jobs(jsonb, text[], int) from public, anon, authenticated;
grant execute on function public.exchange_jobs(jsonb, text[], int) to service_role;
