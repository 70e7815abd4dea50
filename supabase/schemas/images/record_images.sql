-- record_images: writes the rows of a generation's stored pictures and completes it; for apply_image_job only.
--
-- p_payload is the download's: {generation_id, user_id, prompt?, negative_prompt?, model_id?}; p_images what it
-- stored, a list of {filename, storage_path, public_url, file_size (bytes), width, height (pixels), format}. The
-- generation gets the first one's size; generation_time_seconds counts from its creation. A second call with the
-- same file names leaves the same rows. A size that the columns cannot hold is null. Refuses (P0001) a generation that belongs to another user.

create or replace function process_jobs.record_images(p_payload jsonb, p_images jsonb) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- By its key, whatever the statistics say: they may be of when the table was empty.
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_generation_id public.image_generations.id%type := p_payload ->> 'generation_id';
  v_user_id public.image_generations.user_id%type := p_payload ->> 'user_id';
begin
  perform process_jobs.set_generation_status(p_payload, 'downloading', null, null, true);

  update public.image_generations g
  set status = 'completed',
    error_message = null,
    width = coalesce(process_jobs.pixels(p_images -> 0 -> 'width'), g.width),
    height = coalesce(process_jobs.pixels(p_images -> 0 -> 'height'), g.height),
    generation_time_seconds = coalesce(g.generation_time_seconds, extract(epoch from clock_timestamp() - g.created_at)),
    completed_at = coalesce(g.completed_at, now()),
    updated_at = now()
  where g.id = v_generation_id and g.user_id is not distinct from v_user_id;
  if not found then
    raise exception 'generation % belongs to another user than %', v_generation_id, v_user_id;
  end if;

  insert into public.images as i (
    generation_id, user_id, filename, storage_path, public_url, file_size, width, height, format,
    prompt, negative_prompt, model
  )
  select
    v_generation_id, v_user_id, image.value ->> 'filename', image.value ->> 'storage_path', image.value ->> 'public_url',
    (image.value ->> 'file_size')::bigint, process_jobs.pixels(image.value -> 'width'), process_jobs.pixels(image.value -> 'height'),
    image.value ->> 'format', p_payload ->> 'prompt', p_payload ->> 'negative_prompt', p_payload ->> 'model_id'
  from jsonb_array_elements(p_images) image
  on conflict (generation_id, filename) do update
  set storage_path = excluded.storage_path, public_url = excluded.public_url, file_size = excluded.file_size,
    width = excluded.width, height = excluded.height, format = excluded.format,
    prompt = excluded.prompt, negative_prompt = excluded.negative_prompt, model = excluded.model;
end
$$;
