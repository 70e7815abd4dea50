-- redrive_failed_jobs: calls retry_job for failed jobs, the longest failed first; returns how many it retried.
--
-- p_job_type      null: every type
-- p_failed_after  only jobs that failed later; null: all
-- p_limit         the most jobs, 1 to 10000
-- p_attempts      as for retry_job
--
-- A job whose unique_key an unfinished job has stays failed and is not counted. So does one whose retry the database
-- refuses, for example by a trigger of the app; a warning gives the reason. Refuses (22023) arguments out of these bounds.
create or replace function public.redrive_failed_jobs(
  p_job_type text default null,
  p_failed_after timestamptz default null,
  p_limit int default 1000,
  p_attempts int default 3
) returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job_id uuid;
  v_redriven int := 0;
begin
  if p_limit is null or p_limit not between 1 and 10000 then
    raise exception 'p_limit must be between 1 and 10000, not %', coalesce(p_limit::text, 'null') using errcode = '22023';
  end if;
  if p_attempts is null or p_attempts not between 1 and 100 then
    raise exception 'p_attempts must be between 1 and 100, not %', coalesce(p_attempts::text, 'null') using errcode = '22023';
  end if;

  for v_job_id in
    select f.id
    from process_jobs.failed_jobs f
    where (p_job_type is null or f.job_type = p_job_type collate "C")
      and (p_failed_after is null or f.failed_at > p_failed_after)
    order by f.failed_at
  loop
    exit when v_redriven = p_limit;
    begin
      v_redriven := v_redriven + public.retry_job(v_job_id, p_attempts)::int;
    exception
      when unique_violation then
        null;
      when others then
        if process_jobs.is_server_state(sqlstate) then
          raise;
        end if;
        raise warning 'job % stays failed: %', v_job_id, sqlerrm;
    end;
  end loop;
  return v_redriven;
end
$$;

revoke execute on function public.redrive_failed_jobs(text, timestamptz, int, int) from public, anon, authenticated;
grant execute on function public.redrive_failed_jobs(text, timestamptz, int, int) to service_role;
