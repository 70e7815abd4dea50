-- note_model_time: counts a prediction's time toward its model's usual time (model_times); only for apply_image_job.
--
-- While another transaction counts one of the same model, this one is left out: no settle waits for a number.
create or replace function process_jobs.note_model_time(p_model text, p_seconds double precision) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if (p_seconds > 0 and length(p_model) between 1 and 300) is not true
    or not pg_try_advisory_xact_lock(hashtextextended('process_jobs.model_times ' || p_model, 0))
  then
    return;
  end if;
  insert into process_jobs.model_times as t (model, seconds, recent)
  values (p_model, p_seconds, array[p_seconds])
  on conflict (model) do update
  set recent = (p_seconds || t.recent)[:21], updated_at = now(),
    seconds = (select percentile_disc(0.5) within group (order by r) from unnest((p_seconds || t.recent)[:21]) r);
end
$$;
