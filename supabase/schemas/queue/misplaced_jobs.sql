-- misplaced_jobs: the jobs that are not where claims look for them, and why, and the places of jobs that have none; for
-- process_jobs_doctor and tests. Reads all of job_queue and of the places.
--
-- Such a place comes of rows written without triggers, by a restore or a subscription, and is mended by rebuild_places.
create or replace function process_jobs.misplaced_jobs() returns table (job_id uuid, reason text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(p.id, e.id), case
      when e.id is null then 'it is pending and has no place'
      when p.id is null then 'it has a place and is not pending'
      else 'it is pending and its place is another''s'
    end
  from process_jobs.places p
  full join (
    select r.id, r.job_type, r.lane, r.rank, r.created_at, null::timestamptz as due_at from process_jobs.ready_jobs r
    union all
    select w.id, w.job_type, w.lane, w.rank, w.created_at, w.due_at from process_jobs.waiting_jobs w
  ) e on e.id = p.id
  where p.id is null or e.id is null
    or (e.job_type, e.lane, e.created_at) is distinct from (p.job_type, p.lane, p.created_at)
    or case
      -- Whichever turn it was given.
      when p.is_fair then coalesce(e.rank >> 31 <> -p.priority::bigint, e.due_at is null)
      else e.rank is distinct from p.rank
    end
    or coalesce(e.due_at <> p.due_at, p.due_at > clock_timestamp())
  union all
  select w.id, 'it is ready and waits' from process_jobs.waiting_jobs w join process_jobs.ready_jobs r on r.id = w.id
  union all
  select j.id, 'it is processing and no lease tells when to look after it'
  from public.job_queue j
  where j.status = 'processing' and not exists (
    select from process_jobs.leases l
    where l.token = j.lease_token and j.id = any (l.jobs) and l.expires_at <= j.lease_expires_at)
  union all
  select coalesce(j.id, f.id), 'it is failed or its place says so'
  from (select * from public.job_queue where status = 'failed') j
  full join process_jobs.failed_jobs f on f.id = j.id
  where f.id is null or j.id is null or (f.job_type, f.failed_at) is distinct from (j.job_type::text, j.completed_at)
  union all
  select coalesce(j.id, k.id), 'its unique_key is kept wrongly'
  from (select * from public.job_queue where status in ('pending', 'processing') and unique_key is not null) j
  full join process_jobs.unfinished_keys k on k.id = j.id
  where k.id is null or j.id is null or (k.job_type, k.unique_key) is distinct from (j.job_type::text, j.unique_key)
$$;
