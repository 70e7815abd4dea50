-- keep_ranks: triggers on job_types: where a type with priority_ages_seconds or a fair_key comes or goes, or that changes,
-- its jobs get their places anew, and claims wait meanwhile.
create or replace function process_jobs.keep_ranks() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- Its places are found by the type, whatever the statistics say.
set enable_seqscan = off
as $$
declare
  v_job_types constant text[] := array[old.job_type, new.job_type];
  v_jobs uuid[];
begin
  lock table process_jobs.ready_jobs, process_jobs.waiting_jobs in share row exclusive mode;
  with ready as (
    delete from process_jobs.ready_jobs r where r.job_type = any (v_job_types) returning r.id
  ), waiting as (
    delete from process_jobs.waiting_jobs w where w.job_type = any (v_job_types) returning w.id
  )
  select array_agg(p.id) into v_jobs from (select r.id from ready r union all select w.id from waiting w) p;
  delete from process_jobs.turns t where t.job_type = any (v_job_types);
  delete from process_jobs.marks m where m.job_type = any (v_job_types);
  perform process_jobs.place_jobs(v_jobs);
  return null;
end
$$;
create or replace trigger process_jobs_keep_ranks
  after update of job_type, priority_ages_seconds, fair_key on public.job_types
  for each row when (
    (new.priority_ages_seconds, new.fair_key) is distinct from (old.priority_ages_seconds, old.fair_key)
    or new.job_type <> old.job_type and num_nonnulls(new.priority_ages_seconds, new.fair_key) > 0)
  execute function process_jobs.keep_ranks();
create or replace trigger process_jobs_keep_ranks_of_new
  after insert on public.job_types
  for each row when (num_nonnulls(new.priority_ages_seconds, new.fair_key) > 0) execute function process_jobs.keep_ranks();
create or replace trigger process_jobs_keep_ranks_of_gone
  after delete on public.job_types
  for each row when (num_nonnulls(old.priority_ages_seconds, old.fair_key) > 0) execute function process_jobs.keep_ranks();
