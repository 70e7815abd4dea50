-- signed_in_user: the user of the caller's token, as auth.uid() says it, but as text, and without the schema auth.
--
-- Refuses (PT403) a token without a user, or with one whose id cannot be in a payload.
create or replace function process_jobs.signed_in_user() returns text
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id text := nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub';
begin
  if (v_user_id ~ '^[A-Za-z0-9_-]{1,128}$') is not true then
    perform process_jobs.refuse('403', 'sign in first: the token names no user, or one whose id has other characters than A-Z a-z 0-9 _ -');
  end if;
  return v_user_id;
end
$$;
