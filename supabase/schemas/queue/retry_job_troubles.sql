-- retry_job_troubles: repeats the due effects of jobs that failed (job_troubles of kinds effect and notify) and the
-- cancels that failed (kind cancel), at most ten, and deletes troubles that are over; only for claim_jobs.
--
-- It updates the job's row, so that every trigger that follows jobs sees it in its present state. Another failure is
-- retried later. Troubles that another transaction has locked are skipped.
create or replace function process_jobs.retry_job_troubles() returns void
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
set lock_timeout = '20ms'
as $$
declare
  v_trouble record;
begin
  for v_trouble in
    select t.job_id, t.kind, t.tries
    from process_jobs.job_troubles t
    where t.kind in ('effect', 'cancel', 'notify') and t.retry_at <= now()
    order by t.retry_at
    limit 10
    for update skip locked
  loop
    begin
      if v_trouble.kind = 'cancel' then
        perform public.cancel_job(v_trouble.job_id);
      else
        update public.job_queue j set status = j.status where j.id = v_trouble.job_id;
      end if;
      -- Where it failed without a word, it is noted anew.
      delete from process_jobs.job_troubles t
      where t.job_id = v_trouble.job_id and t.kind = v_trouble.kind and t.tries = v_trouble.tries;
    exception
      when others then
        if sqlstate like '40%' then
          raise;
        end if;
        perform process_jobs.note_job_trouble(v_trouble.job_id, v_trouble.kind, sqlerrm);
    end;
  end loop;
  delete from process_jobs.job_troubles t
  where (t.job_id, t.kind) in (
    select over.job_id, over.kind
    from process_jobs.job_troubles over
    where over.kind not in ('effect', 'cancel', 'notify') and over.retry_at <= now() - interval '10 minutes'
    for update skip locked
  );
end
$$;
