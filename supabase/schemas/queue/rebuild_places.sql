-- rebuild_places: gives every job its place anew; returns how many were misplaced. Claims wait meanwhile.
create or replace function process_jobs.rebuild_places() returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_misplaced bigint;
begin
  lock table public.job_queue in share row exclusive mode;
  select count(*) into v_misplaced from process_jobs.misplaced_jobs();
  set constraints process_jobs.ring_at_commit immediate;
  set constraints process_jobs.ring_at_commit deferred;
  truncate process_jobs.ready_jobs, process_jobs.waiting_jobs, process_jobs.leases, process_jobs.failed_jobs,
    process_jobs.unfinished_keys, process_jobs.marks, process_jobs.time_marks, process_jobs.turns;
  insert into process_jobs.waiting_jobs (id, job_type, lane, due_at, rank, created_at)
  select p.id, p.job_type, p.lane, p.due_at, p.rank, p.created_at from process_jobs.places p where p.due_at > now();
  insert into process_jobs.ready_jobs (id, job_type, lane, rank, created_at)
  select p.id, p.job_type, p.lane, p.rank, p.created_at from process_jobs.places p
  where p.due_at <= now() and p.rank is not null;
  perform process_jobs.place_in_turn(array(
    select p.id from process_jobs.places p where p.due_at <= now() and p.rank is null));
  insert into process_jobs.leases (token, expires_at, jobs)
  select j.lease_token, min(j.lease_expires_at), array_agg(j.id)
  from public.job_queue j where j.status = 'processing' group by j.lease_token;
  insert into process_jobs.failed_jobs (id, job_type, failed_at)
  select j.id, j.job_type, j.completed_at from public.job_queue j where j.status = 'failed';
  insert into process_jobs.unfinished_keys (job_type, unique_key, id)
  select j.job_type, j.unique_key, j.id
  from public.job_queue j where j.status in ('pending', 'processing') and j.unique_key is not null;
  return v_misplaced;
end
$$;
