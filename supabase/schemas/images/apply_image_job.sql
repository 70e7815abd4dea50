-- apply_image_job: trigger on job_queue. A change of an image job changes its generation in the same transaction.
--
--   job                                    generation
--   generate-image inserted                queued
--   generate-image processing              processing; checkpoint.prediction_id -> replicate_prediction_id
--   generate-image completed with a result.prediction_id
--                                          processing; result.prediction_id -> replicate_prediction_id
--   download-image inserted or processing  downloading
--   download-image completed with a result.storage_path, or a list of them in result.images
--                                          completed, and a row in images for each
--   failed, cancelled                      the same, with the job's error_message
--   pending again                          stays; checkpoint.prediction_id -> replicate_prediction_id
--   pending again after it had ended       as when it was inserted
--
-- A completed generation stays completed. A payload without a usable generation_id and user_id changes no generation. A
-- job that has begun nothing is refused, with the tables' error, if its generation cannot be written: its picture could
-- not be recorded, so it must not be paid for. Any other row that the tables refuse, or, unless the job ends, that
-- another session has locked, does not hinder the job: the generation follows later (job_troubles, retry_job_troubles).
-- If a job ends while another session has locked its generation, or a stored picture cannot be recorded, the settle is
-- refused. A job with a cancel request changes its generation only when it ends.
--
-- If generate-image ends before its prediction, a job watches that (watch_prediction).
--
-- Its progress is that of the model for nine tenths, told by the model's log or else by the time that has passed of its
-- usual time (model_times), and that of the download from there on: models take tens of seconds, downloads a few. It
-- moves when a look at the prediction parks the job, and is 100 when the generation is completed.
--
-- Rows that a restore inserts, whose times are not of now, change nothing.
create or replace function process_jobs.apply_image_job() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_downloads boolean := new.job_type = 'download-image';
  v_prediction_id text := coalesce(new.result ->> 'prediction_id', new.checkpoint ->> 'prediction_id');
  v_ends boolean := new.status in ('failed', 'cancelled');
  v_begins boolean := new.job_type = 'generate-image' and new.checkpoint is null
    and (tg_op = 'INSERT' or new.status = 'processing' and old.first_started_at is null);
  v_follows_later boolean := false;
  v_id_pattern constant text := '^[A-Za-z0-9_-]{1,128}$';
  v_is_theirs boolean := false;
  v_progress int := case
    when new.status not in ('pending', 'processing') then null
    when v_downloads then 90 + coalesce(new.progress, 0) * 9 / 100
    else new.progress * 9 / 10
  end;
begin
  if new.job_type not in ('generate-image', 'download-image')
    or tg_op = 'INSERT' and new.created_at <> now() and new.updated_at <> now()
  then
    return null;
  end if;
  -- Not cancelled yet: it will be put back (keep_places).
  if tg_op = 'UPDATE' and process_jobs.is_wish_to_cancel(old, new) then
    return null;
  end if;
  if tg_op = 'UPDATE' and new.status = old.status and new.checkpoint is not distinct from old.checkpoint then
    v_follows_later := exists (select from process_jobs.job_troubles t where t.job_id = new.id and t.kind = 'effect');
    if not v_follows_later and (v_progress is null or new.progress is not distinct from old.progress) then
      return null;
    end if;
  end if;
  if (new.payload ->> 'generation_id' ~ v_id_pattern and new.payload ->> 'user_id' ~ v_id_pattern) is not true
    or new.cancel_requested_at is not null and not v_ends
  then
    return null;
  end if;

  if v_ends and v_prediction_id is not null and new.job_type = 'generate-image' and new.status is distinct from old.status then
    perform process_jobs.watch_prediction(new.id, new.life, v_prediction_id);
  end if;
  if new.status = 'completed' and v_downloads then
    if jsonb_typeof(new.result -> 'images') = 'array' then
      perform process_jobs.record_images(new.id, new.payload, new.result -> 'images');
    elsif new.result ->> 'storage_path' is not null then
      perform process_jobs.record_images(new.id, new.payload, jsonb_build_array(new.result));
    end if;
    return null;
  end if;

  if new.status = 'completed' and old.status <> 'completed' then
    perform process_jobs.note_model_time(
      new.payload ->> 'model_id', process_jobs.plain_number(new.result -> 'predict_seconds'));
  elsif v_progress is null and new.status = 'pending' and v_prediction_id is not null then
    v_progress := (
      select 90 * least(1, extract(epoch from now() - new.started_at) / t.seconds)
      from process_jobs.model_times t
      where t.model = new.payload ->> 'model_id');
  end if;
  -- A person has brought it back: it counts as under way again.
  if tg_op = 'UPDATE' and new.status = 'pending' and old.status in ('failed', 'cancelled') then
    update process_jobs.requests r set ended_at = null
    where r.generation_id = new.payload ->> 'generation_id' and r.ended_at is not null;
  end if;

  begin
    if v_ends then
      perform process_jobs.set_generation_status(new.payload, new.status::text, new.error_message, v_prediction_id, true);
    elsif v_downloads then
      perform process_jobs.set_generation_status(new.payload, 'downloading', null, v_prediction_id, false, v_progress);
    -- A completed one has no checkpoint to tell where its prediction was found already done.
    elsif new.status = 'processing' or v_prediction_id is not null then
      v_is_theirs := not process_jobs.set_generation_status(new.payload, 'processing', null, v_prediction_id, false, v_progress);
    elsif new.status = 'pending' and (tg_op = 'INSERT' or old.status in ('failed', 'cancelled') or v_follows_later) then
      v_is_theirs := not process_jobs.set_generation_status(new.payload, 'queued', null, null, false);
    end if;
    if v_begins and v_is_theirs then
      raise exception 'generation % belongs to another user than %', new.payload ->> 'generation_id', new.payload ->> 'user_id';
    end if;
  exception
    when others then
      if process_jobs.is_server_state(sqlstate) or (v_ends and sqlstate like '55%')
        or (v_begins and sqlstate not like '55%')
      then
        raise;
      end if;
      perform process_jobs.note_job_trouble(new.id, 'effect', 'its generation stays as it is: ' || sqlerrm);
  end;
  return null;
end
$$;

create or replace trigger process_jobs_follow
  after insert or update of status, checkpoint, progress on public.job_queue
  for each row
  -- (Short, because each statement that claims or settles parses it anew.)
  when (new.job_type like '%-image')
  execute function process_jobs.apply_image_job();
