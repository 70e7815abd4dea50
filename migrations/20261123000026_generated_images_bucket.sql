-- The public bucket generated-images, where the schema storage exists. A bucket of that name stays as it is.
do $$
begin
  if to_regclass('storage.buckets') is null then
    raise notice 'storage.buckets does not exist: the bucket generated-images was not made';
  else
    insert into storage.buckets (id, name, public)
    values ('generated-images', 'generated-images', true)
    on conflict (id) do nothing;
  end if;
end
$$;
