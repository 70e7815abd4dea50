-- record_images: writes the rows of a generation's stored pictures, completes it and tells its user; only for
-- apply_image_job. image_writers may name another function for the rows.
--
-- p_payload is the download's: {generation_id, user_id, prompt?, negative_prompt?, model_id?}; p_images is a list of
-- the stored pictures: {filename, storage_path, public_url, file_size (bytes), width, height (pixels), format}. The
-- generation gets the size of the first; generation_time_seconds counts from its creation. A second call with the same
-- file names leaves the same rows. Only existing columns are written, with their own types; the model is named as in
-- the generation. If the app has ended the generation meanwhile, no picture is written. Refuses (P0001) a generation of
-- another user.
create or replace function process_jobs.record_images(p_job_id uuid, p_payload jsonb, p_images jsonb) returns void
language plpgsql
security definer
-- The app's own triggers fire here and must find the names that they always found.
set search_path = pg_catalog, public, extensions, pg_temp
-- Look up by key, whatever the statistics say: they may be from when the table was empty.
set enable_seqscan = off
set jit = off
as $$
declare
  v_own text := (select w.function_name from process_jobs.image_writers w where w.writes = 'images');
  v_id text := quote_literal(p_payload ->> 'generation_id') || '::'
    || process_jobs.column_type('public.image_generations', 'id');
  v_generation_id text := quote_literal(p_payload ->> 'generation_id') || '::'
    || process_jobs.column_type('public.images', 'generation_id');
  v_has_progress boolean := coalesce((select t.statuses ? 'progress' from process_jobs.image_tables t), false);
  v_generation jsonb;
  v_image jsonb;
  v_model text := p_payload ->> 'model_id';
  v_columns record;
  v_changed bigint;
begin
  if v_own is not null then
    execute format('select %s($1, $2)', v_own) using p_payload, p_images;
    perform process_jobs.tell_generation(p_payload, 'completed', null, 100, p_images, false);
    return;
  end if;
  -- Its row is ours from here on: what the app does with it was before, and is seen, or comes after.
  execute 'select from public.image_generations g where g.id = ' || v_id || ' for no key update';
  if exists (select from process_jobs.job_troubles t where t.job_id = p_job_id and t.kind = 'cancel') then
    return;
  end if;
  if not process_jobs.set_generation_status(p_payload, 'downloading', null, null, true) then
    raise exception 'generation % belongs to another user than %', p_payload ->> 'generation_id', p_payload ->> 'user_id';
  end if;

  execute 'select to_jsonb(g) from public.image_generations g where g.id = ' || v_id into v_generation;
  if v_generation ->> 'model' = process_jobs.model_name(v_model)
    or v_generation ->> 'model' is null and (select t.statuses ? 'model' from process_jobs.image_tables t)
  then
    v_model := process_jobs.model_name(v_model);
  end if;
  execute (
    select format('update public.image_generations g set %s where g.id = %s',
      string_agg(format('%s = %s', c.name, c.literal), ', '), v_id)
    from process_jobs.fitting_columns('public.image_generations',
      '{"status": "completed", "error_message": null}' || case when v_has_progress then '{"progress": 100}' else '{}' end::jsonb || jsonb_strip_nulls(jsonb_build_object(
        'width', process_jobs.plain_number(p_images -> 0 -> 'width'),
        'height', process_jobs.plain_number(p_images -> 0 -> 'height'),
        'generation_time_seconds', coalesce(nullif(v_generation -> 'generation_time_seconds', 'null'),
          to_jsonb(extract(epoch from clock_timestamp() - (v_generation ->> 'created_at')::timestamptz))),
        'completed_at', coalesce(nullif(v_generation -> 'completed_at', 'null'), to_jsonb(now())),
        'updated_at', now()))) c);

  for v_image in select i.value from jsonb_array_elements(p_images) i loop
    v_image := v_image || jsonb_build_object(
      'generation_id', p_payload ->> 'generation_id', 'user_id', p_payload ->> 'user_id',
      'width', process_jobs.plain_number(v_image -> 'width'), 'height', process_jobs.plain_number(v_image -> 'height'),
      'prompt', p_payload ->> 'prompt', 'negative_prompt', p_payload ->> 'negative_prompt', 'model', v_model);
    select string_agg(c.name, ', ') as names, string_agg(c.literal, ', ') as literals,
      string_agg(format('%s = %s', c.name, c.literal), ', ') filter (where c.name <> 'user_id') as assignments,
      (array_agg(format('%s = %s', c.name, c.literal) order by n.n) filter (where n.n is not null))[1] as key
    into v_columns
    from process_jobs.fitting_columns('public.images', jsonb_strip_nulls(v_image)) c
    left join unnest(array['filename', 'storage_path', 'public_url']) with ordinality n (name, n) on n.name = c.name;
    if v_generation_id is null or v_columns.key is null then
      raise exception 'public.images has no column generation_id, or neither filename, storage_path nor public_url'
        using errcode = '42703', hint = 'See process_jobs.image_writers.';
    end if;
    execute format('update public.images i set %s where i.generation_id = %s and i.%s',
      v_columns.assignments, v_generation_id, v_columns.key);
    get diagnostics v_changed = row_count;
    if v_changed = 0 then
      execute format('insert into public.images (%s) values (%s)', v_columns.names, v_columns.literals);
    end if;
  end loop;
  perform process_jobs.tell_generation(p_payload, 'completed', null, 100, p_images, v_has_progress);
end
$$;
