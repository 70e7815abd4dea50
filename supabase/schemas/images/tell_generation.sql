-- tell_generation: tells a generation's user where it stands, through Realtime where that is; only for
-- set_generation_status and record_images, with news.
--
-- p_is_kept  true: image_generations has the progress; false: it is kept in generation_progress
-- p_images   of a completed generation: its stored pictures, as for record_images
--
-- The message goes to the user's private topic `process-jobs:<user id>`, as the event `generation`: {"id", "status",
-- "progress", "error_message"?, "images"?: [{"filename", "storage_path", "public_url", "width", "height", "format"}],
-- "usual_seconds"?}. usual_seconds, with `processing`, is the model's usual time, so that a client's bar can move
-- between two messages. What Realtime refuses is a warning: a job never fails for it, nor waits.
create or replace function process_jobs.tell_generation(
  p_payload jsonb,
  p_status text,
  p_error_message text,
  p_progress int,
  p_images jsonb,
  p_is_kept boolean
) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not p_is_kept then
    insert into public.generation_progress as g (user_id, generation_id, status, progress)
    values (p_payload ->> 'user_id', p_payload ->> 'generation_id', p_status, p_progress)
    on conflict (user_id, generation_id) do update
    set status = excluded.status, progress = excluded.progress, updated_at = now();
  end if;
  if to_regprocedure('realtime.send(jsonb, text, text, boolean)') is not null then
    perform process_jobs.send_to_user(p_payload ->> 'user_id', jsonb_strip_nulls(jsonb_build_object(
      'id', p_payload ->> 'generation_id', 'status', p_status, 'progress', p_progress, 'error_message', p_error_message,
      'images', process_jobs.told_images(p_images),
      'usual_seconds', case when p_status = 'processing' then (
        select t.seconds from process_jobs.model_times t where t.model = p_payload ->> 'model_id')
      end)));
  end if;
end
$$;
