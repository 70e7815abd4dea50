-- queue_stats: the queue's numbers as one json object:
--   ready                 pending jobs that are due and neither held nor paused; some may still lack a start
--   scheduled             the other pending jobs: parked, retrying, delayed, held or paused
--   processing            jobs under a lease
--   stuck                 jobs in processing whose lease has expired and that no claim has taken back
--   oldest_ready_seconds  the time since the longest waiting ready job fell due; null: none is ready
--   paused                [{job_type, reason, since}]
--   version               the schema's
--   troubles              [{job_id, kind, message, since}] of job_troubles, the ten oldest; absent if there are none
-- Counts the unfinished jobs one by one: for people and monitors, not for the claim loop.
create or replace function public.queue_stats() returns jsonb
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  with pending as (
    select count(*) as jobs, count(*) filter (where p.is_ready) as ready, min(p.due_at) filter (where p.is_ready) as oldest
    from (
      select j.scheduled_at as due_at, l.is_open is true and j.scheduled_at <= now() as is_ready
      from (
        select r.id, r.job_type, r.lane from process_jobs.ready_jobs r
        union all
        select w.id, w.job_type, w.lane from process_jobs.waiting_jobs w
      ) e
      join public.job_queue j on j.id = e.id
      left join process_jobs.lanes l on l.job_type = e.job_type and l.lane = e.lane
    ) p
  ), processing as (
    select count(*) as jobs, count(*) filter (where j.lease_expires_at <= now()) as stuck
    from process_jobs.jobs_at_work j
  ), paused as (
    select jsonb_agg(
        jsonb_build_object('job_type', t.job_type, 'reason', t.paused_reason, 'since', t.paused_at) order by t.job_type
      ) as types
    from public.job_types t
    where t.paused_at is not null
  ), troubles as (
    select jsonb_agg(
        jsonb_build_object('job_id', t.job_id, 'kind', t.kind, 'message', t.message, 'since', t.since)
        order by t.since, t.job_id) as jobs
    from (select * from process_jobs.job_troubles order by since, job_id limit 10) t
  )
  select jsonb_build_object(
    'ready', pending.ready,
    'scheduled', pending.jobs - pending.ready,
    'processing', processing.jobs,
    'stuck', processing.stuck,
    'oldest_ready_seconds', extract(epoch from now() - pending.oldest),
    'paused', coalesce(paused.types, '[]'),
    'version', process_jobs.version()
  ) || case when troubles.jobs is null then '{}' else jsonb_build_object('troubles', troubles.jobs) end
  from pending, processing, paused, troubles
$$;

revoke execute on function public.queue_stats() from public, anon, authenticated;
grant execute on function public.queue_stats() to service_role;
