-- queue_metrics: the queue in Prometheus' text format, by job type; for the route /metrics.
--
--   process_jobs_jobs{job_type, state}           jobs: ready, scheduled and stuck as in queue_stats, processing without
--                                                the stuck ones, failed until they are redriven or pruned
--   process_jobs_oldest_ready_seconds{job_type}  how long the longest waiting ready job has been due; 0: none is ready
--   process_jobs_paused{job_type}                1: no job of the type begins until resume_job_type
--   process_jobs_held_seconds{job_type}          the rest of the type's hold for a rate limit: the longer of the hold
--                                                of jobs that have begun and the hold of the others
--
-- Types without a row in job_types are left out. Counts the unfinished and the failed jobs one by one.
create or replace function public.queue_metrics() returns text
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  with job as (
    select j.job_type, e.lane, j.scheduled_at, null::text as state
    from (
      select r.id, r.lane from process_jobs.ready_jobs r union all select w.id, w.lane from process_jobs.waiting_jobs w
    ) e
    join public.job_queue j on j.id = e.id
    union all
    select j.job_type, null, null, case when j.lease_expires_at <= now() then 'stuck' else 'processing' end
    from process_jobs.jobs_at_work j
    union all
    select f.job_type, null, null, 'failed' from process_jobs.failed_jobs f
  ), counted as (
    select t.job_type,
      case
        when job.state is not null then job.state
        when job.scheduled_at > now() then 'scheduled'
        when l.is_open then 'ready'
        else 'scheduled'
      end as state,
      count(*) as jobs, extract(epoch from now() - min(job.scheduled_at)) as oldest_seconds
    from job
    join public.job_types t on t.job_type = job.job_type
    left join process_jobs.lanes l on l.job_type = job.job_type and l.lane = job.lane
    group by 1, 2
  ), metric (n, name, help, job_type, state, value) as (
    select 1, 'process_jobs_jobs', 'Jobs that have not ended, and failed ones.', t.job_type, s.state, coalesce(c.jobs, 0)
    from public.job_types t
    cross join unnest(array['ready', 'scheduled', 'processing', 'stuck', 'failed']) s (state)
    left join counted c on c.job_type = t.job_type and c.state = s.state
    union all
    select 2, 'process_jobs_oldest_ready_seconds', 'How long the longest waiting ready job has been due.',
      t.job_type, null, coalesce(c.oldest_seconds, 0)
    from public.job_types t
    left join counted c on c.job_type = t.job_type and c.state = 'ready'
    union all
    select 3, 'process_jobs_paused', '1: no job of the type begins until resume_job_type.',
      t.job_type, null, (t.paused_at is not null)::int
    from public.job_types t
    union all
    select 4, 'process_jobs_held_seconds', 'How long all jobs of the type still wait for a rate limit.',
      t.job_type, null, coalesce(greatest(0, extract(epoch from greatest(t.held_until, t.begun_held_until) - now())), 0)
    from public.job_types t
  ), family as (
    select m.n,
      format(E'# HELP %1$s %2$s\n# TYPE %1$s gauge\n', m.name, m.help)
      || string_agg(
        format(E'%s{job_type="%s"%s} %s\n', m.name,
          replace(replace(replace(m.job_type, '\', '\\'), '"', '\"'), E'\n', '\n'),
          ',state="' || m.state || '"', trim_scale(m.value)),
        '' order by m.job_type, m.state) as text
    from metric m
    group by m.n, m.name, m.help
  )
  select coalesce(string_agg(f.text, '' order by f.n), '') from family f
$$;

revoke execute on function public.queue_metrics() from public, anon, authenticated;
grant execute on function public.queue_metrics() to service_role;
