-- calling_user: the user of the app whose call this is: the token's `sub`, else the role; null if it is none's. A user's is
-- a call over REST, or of a session with another role set, whose role is not service_role or one that may become it.
create or replace function process_jobs.calling_user() returns text
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_claims jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
  v_role text := coalesce(v_claims ->> 'role', nullif(current_setting('role'), 'none'));
begin
  return case
    when v_role is not null and not exists (
      select from pg_catalog.pg_roles r where r.rolname = v_role and pg_has_role(r.oid, 'service_role', 'member'))
    then coalesce(v_claims ->> 'sub', v_role)
  end;
end
$$;
