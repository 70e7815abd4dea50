-- place_inserted: trigger on job_queue: all rows that a statement inserts are checked (check_job) and given their places.
create or replace function process_jobs.place_inserted() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_placed uuid[];
  v_rings uuid;
  v_is_plain boolean;
begin
  -- What is plainly in order, and has no key and no lease, need not be looked at one by one.
  select array_agg(i.id) filter (where i.status in ('pending', 'failed')),
    case
      when current_setting('process_jobs.ring', true) is distinct from 'asked'
      then (array_agg(i.id) filter (where i.status = 'pending' and i.scheduled_at <= now()))[1]
    end,
    bool_and(
    (i.status = 'pending' and i.attempt_number = 0 and i.max_attempts > 0 and i.progress is null and i.errors = '[]'
    and isfinite(i.scheduled_at) and isfinite(i.created_at) and i.unique_key is null
    and num_nonnulls(i.started_at, i.first_started_at, i.lease_expires_at) = 0) is true)
  into v_placed, v_rings, v_is_plain
  from inserted i;
  if not v_is_plain then
    perform process_jobs.check_job(i) from inserted i;
    -- Another trigger may have changed a row since, or deleted it.
    perform process_jobs.hold_key((select j from public.job_queue j where j.id = i.id))
    from inserted i order by i.job_type, i.unique_key;
    perform process_jobs.keep_lease(i) from inserted i where i.status = 'processing';
  end if;
  if v_placed is not null then
    perform process_jobs.place_jobs(v_placed, v_rings);
  end if;
  return null;
end
$$;

create or replace trigger process_jobs_place_inserted
  after insert on public.job_queue referencing new table as inserted
  for each statement execute function process_jobs.place_inserted();
