-- look_at_budget: pauses generate-image while the project's budget for the month is used, and resumes it once it is not: in
-- the next month, or where the budget has been raised. A pause by a person, or for another reason, stays.
--
-- Called wherever something is recorded, with each drain, each tick, and each change of the budget; looks every 5 s, or at
-- a hundredth of the time where the sum takes long, unless p_anew. Waits for nobody: where another session looks, or has
-- the type's row, it is left to the next call. What stands in the way of a pause or its end is a warning: no job's outcome
-- is refused for it.
create or replace function process_jobs.look_at_budget(p_anew boolean default false) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set jit = off
as $$
declare
  v_month constant timestamptz := date_trunc('month', now(), 'UTC');
  v_looked_at constant timestamptz := clock_timestamp();
  v_budget numeric;
  v_used numeric;
  v_is_over boolean := false;
  v_paused_reason text;
begin
  select b.max_cost_per_month into v_budget
  from public.project_budget b
  where p_anew or b.look_again_at <= v_looked_at
  for no key update skip locked;
  if not found then
    return;
  end if;
  if v_budget is not null then
    select coalesce(sum(l.cost), 0) into v_used from public.usage_ledger l where l.created_at >= v_month;
    v_is_over := v_used >= v_budget;
  end if;
  update public.project_budget
  set look_again_at = v_looked_at + greatest(interval '5 seconds', 100 * (clock_timestamp() - v_looked_at));

  select t.paused_reason into v_paused_reason
  from public.job_types t
  where t.job_type = 'generate-image'
    and case when v_is_over then t.paused_at is null else process_jobs.is_over_budget(t.paused_reason) end
  for no key update skip locked;
  if not found then
    return;
  end if;
  begin
    if v_is_over then
      perform public.pause_job_type('generate-image', format(
        'the project''s budget for %s is used: %s of %s US dollars; it goes on by itself on %s (UTC), or when project_budget is raised',
        to_char(v_month at time zone 'UTC', 'FMMonth YYYY'), round(v_used, 2), v_budget,
        to_char(v_month at time zone 'UTC' + interval '1 month', 'YYYY-MM-DD')));
    else
      perform public.resume_job_type('generate-image');
    end if;
  exception
    when others then
      if process_jobs.is_server_state(sqlstate) then
        raise;
      end if;
      raise warning 'generate-image could not be paused or resumed for the budget: %', sqlerrm;
  end;
end
$$;

-- look_at_changed_budget: trigger on project_budget: a changed budget counts at once.
create or replace function process_jobs.look_at_changed_budget() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform process_jobs.look_at_budget(true);
  return null;
end
$$;

create or replace trigger process_jobs_look_at_budget
  after update of max_cost_per_month on public.project_budget
  for each row
  execute function process_jobs.look_at_changed_budget();
