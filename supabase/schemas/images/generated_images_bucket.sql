-- Creates the public bucket generated-images if the schema storage exists: for the six formats that the worker stores,
-- with MAX_IMAGE_BYTES's default as the size limit. An existing bucket of that name is not changed.
do $$
begin
  if to_regclass('storage.buckets') is null then
    raise notice 'storage.buckets does not exist: the bucket generated-images was not made';
    return;
  end if;
  insert into storage.buckets (id, name, public)
  values ('generated-images', 'generated-images', true)
  on conflict (id) do nothing;
  -- Older versions of Storage have no such columns.
  if found and (
    select count(*) = 2
    from pg_catalog.pg_attribute
    where attrelid = 'storage.buckets'::regclass and attname in ('file_size_limit', 'allowed_mime_types')
  ) then
    update storage.buckets
    set file_size_limit = 52428800,
      allowed_mime_types = array['image/png', 'image/jpeg', 'image/webp', 'image/gif', 'image/avif', 'image/svg+xml']
    where id = 'generated-images';
  end if;
end
$$;
