-- told_images: what a user is told of stored pictures (record_images): a list of {filename, storage_path, public_url, width,
-- height, format}; null: there are none.
create or replace function process_jobs.told_images(p_images jsonb) returns jsonb
language sql
immutable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_agg(jsonb_build_object(
    'filename', i.value -> 'filename', 'storage_path', i.value -> 'storage_path', 'public_url', i.value -> 'public_url',
    'width', i.value -> 'width', 'height', i.value -> 'height', 'format', i.value -> 'format'))
  from jsonb_array_elements(p_images) i
$$;
