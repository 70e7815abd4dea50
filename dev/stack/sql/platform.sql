-- What a new Supabase project's database holds before the first migration: the roles of the API, and
-- the default privileges that open everything new in public to them, so that a migration that forgets
-- to revoke is seen here too.
do $$
begin
  create role anon nologin;
  create role authenticated nologin;
  create role service_role nologin bypassrls;
exception
  when duplicate_object then
    null;
end
$$;

grant usage on schema public to anon, authenticated, service_role;
alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;
alter default privileges in schema public grant execute on functions to anon, authenticated, service_role;
