-- watch_prediction: has a job of its own see the end of a prediction whose job ends before it, so that what it used is
-- recorded; nothing where it is recorded already. For apply_image_job.
--
-- It happens where a worker was killed at the last attempt, where JOB_TIMEOUT_MS is over, or a cancel could not be waited
-- for. It begins 15 s later, when mostly the prediction has ended, and before new work, because an hour later Replicate
-- tells no more how many pictures there were.
create or replace function process_jobs.watch_prediction(p_job_id uuid, p_life int, p_prediction_id text) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
begin
  if exists (select from public.usage_ledger l where l.id = p_prediction_id)
    or not exists (select from public.job_types t where t.job_type = 'watch-prediction')
  then
    return;
  end if;
  begin
    perform process_jobs.insert_job(
      'watch-prediction', jsonb_build_object('prediction_id', p_prediction_id, 'job_id', p_job_id, 'life', p_life),
      1000000, 10, now() + interval '15 seconds', 'watch-prediction:' || left(p_prediction_id, 150), null);
  exception
    -- A check of the app's own may know no such type: the job ends all the same.
    when others then
      if process_jobs.is_server_state(sqlstate) or sqlstate like '55%' then
        raise;
      end if;
      raise warning 'nobody sees the end of prediction %: %', left(p_prediction_id, 150), sqlerrm;
  end;
end
$$;
