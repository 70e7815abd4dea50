-- take_users_turn: takes the turn of a user's requests until the end of the transaction, before any lock of a row: of
-- twenty at once each sees what those before it have taken.
create or replace function process_jobs.take_users_turn(p_user_id text) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('process_jobs.requests: ' || p_user_id, 0));
end
$$;
