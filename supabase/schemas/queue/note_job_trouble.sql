-- note_job_trouble: records an obstacle of a job (job_troubles), to be retried after 5 s, then twice as long each time,
-- at most ten minutes; only for the queue's own functions.
--
-- A trouble of kind settle is kept for at least an hour.
create or replace function process_jobs.note_job_trouble(p_job_id uuid, p_kind text, p_message text, p_lease_token uuid default null)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into process_jobs.job_troubles as t (job_id, kind, message, lease_token, retry_at)
  values (
    p_job_id, p_kind, left(p_message, 2000), p_lease_token,
    now() + case when p_kind = 'settle' then interval '1 hour' else interval '5 seconds' end
  )
  on conflict (job_id, kind) do update
  set message = excluded.message, lease_token = excluded.lease_token, tries = t.tries + 1,
    retry_at = case
      when p_kind = 'settle' then excluded.retry_at
      else now() + make_interval(secs => least(600, 5 * power(2, least(t.tries, 10))))
    end;
  if p_kind <> 'settle' then
    raise warning 'job %: %', p_job_id, p_message;
  end if;
end
$$;
