-- record_image: writes the row of a stored picture and completes its generation; for apply_image_job only.
--
-- p_payload is the download's: {generation_id, user_id, prompt?, negative_prompt?, model_id?}; p_result
-- what it stored: {filename, storage_path, public_url, file_size (bytes), width, height (pixels), format}.
-- generation_time_seconds counts from the generation's creation. A second call with the same file name
-- leaves the same row. Refuses (P0001) a generation that belongs to another user.
create or replace function public.record_image(p_payload jsonb, p_result jsonb) returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_generation_id public.image_generations.id%type := p_payload ->> 'generation_id';
  v_user_id public.image_generations.user_id%type := p_payload ->> 'user_id';
begin
  perform public.set_generation_status(p_payload, 'downloading', null, null);

  update public.image_generations g
  set status = 'completed',
    error_message = null,
    width = coalesce((p_result ->> 'width')::int, g.width),
    height = coalesce((p_result ->> 'height')::int, g.height),
    generation_time_seconds = coalesce(g.generation_time_seconds, extract(epoch from clock_timestamp() - g.created_at)),
    completed_at = coalesce(g.completed_at, now()),
    updated_at = now()
  where g.id = v_generation_id and g.user_id = v_user_id;
  if not found then
    raise exception 'generation % belongs to another user than %', v_generation_id, v_user_id;
  end if;

  insert into public.images as i (
    generation_id, user_id, filename, storage_path, public_url, file_size, width, height, format,
    prompt, negative_prompt, model
  )
  values (
    v_generation_id, v_user_id, p_result ->> 'filename', p_result ->> 'storage_path', p_result ->> 'public_url',
    (p_result ->> 'file_size')::bigint, (p_result ->> 'width')::int, (p_result ->> 'height')::int, p_result ->> 'format',
    p_payload ->> 'prompt', p_payload ->> 'negative_prompt', p_payload ->> 'model_id'
  )
  on conflict (generation_id, filename) do update
  set storage_path = excluded.storage_path, public_url = excluded.public_url, file_size = excluded.file_size,
    width = excluded.width, height = excluded.height, format = excluded.format,
    prompt = excluded.prompt, negative_prompt = excluded.negative_prompt, model = excluded.model;
end
$$;

revoke execute on function public.record_image(jsonb, jsonb) from public, anon, authenticated, service_role;
