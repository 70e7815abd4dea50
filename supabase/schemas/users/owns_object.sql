-- owns_object: whether an object of Storage is a user's own: uploaded by them, or a picture that the worker has stored for
-- them.
--
-- An app may let users write rows of `images`, so such a row counts only for what lies where the worker stores this
-- user's pictures: in its bucket, below the user's id.
create or replace function process_jobs.owns_object(p_user_id text, p_bucket text, p_name text) returns boolean
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_is_own boolean := false;
begin
  if to_regclass('storage.objects') is not null then
    -- (Older versions of Storage have owner only, later ones may have owner_id only.)
    execute format(
      $q$
      select exists (
        select from %s o
        where o.bucket_id = $1 and o.name = $2 and coalesce(to_jsonb(o) ->> 'owner_id', to_jsonb(o) ->> 'owner') = $3)
      $q$, to_regclass('storage.objects'))
    into v_is_own using p_bucket, p_name, p_user_id;
  end if;
  if not v_is_own and starts_with(p_name, p_user_id || '/')
    and p_bucket = coalesce((select w.said ->> 'bucket' from process_jobs.worker w), 'generated-images')
    and process_jobs.column_type('public.images', 'user_id') is not null
    and process_jobs.column_type('public.images', 'storage_path') is not null
  then
    execute format('select exists (select from public.images i where i.user_id = %L::%s and i.storage_path::text = $1)',
      p_user_id, process_jobs.column_type('public.images', 'user_id'))
    into v_is_own using p_name;
  end if;
  return v_is_own;
end
$$;
