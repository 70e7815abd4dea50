-- keep_ranks: triggers on job_types: where a type with priority_ages_seconds comes or goes, or that changes, its jobs are
-- ranked anew, and claims wait meanwhile. Only what differs from its place is touched, so a type of few jobs is done at
-- once.
create or replace function process_jobs.keep_ranks() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- Its places and jobs are found by the type and by id, whatever the statistics say.
set enable_seqscan = off
as $$
declare
  v_job_types constant text[] := array[old.job_type, new.job_type];
begin
  lock table process_jobs.ready_jobs, process_jobs.waiting_jobs in share row exclusive mode;
  update process_jobs.ready_jobs r set rank = p.rank
  from process_jobs.places p
  where p.id = r.id and p.rank <> r.rank and r.job_type = any (v_job_types);
  update process_jobs.waiting_jobs w set rank = p.rank
  from process_jobs.places p
  where p.id = w.id and p.rank <> w.rank and w.job_type = any (v_job_types);
  delete from process_jobs.marks m where m.job_type = any (v_job_types);
  return null;
end
$$;
create or replace trigger process_jobs_keep_ranks
  after update of job_type, priority_ages_seconds on public.job_types
  for each row when (
    new.priority_ages_seconds is distinct from old.priority_ages_seconds
    or new.job_type <> old.job_type and new.priority_ages_seconds is not null)
  execute function process_jobs.keep_ranks();
create or replace trigger process_jobs_keep_ranks_of_new
  after insert on public.job_types
  for each row when (new.priority_ages_seconds is not null) execute function process_jobs.keep_ranks();
create or replace trigger process_jobs_keep_ranks_of_gone
  after delete on public.job_types
  for each row when (old.priority_ages_seconds is not null) execute function process_jobs.keep_ranks();
