-- take_turn: the turn of claims that count starts or take back expired leases, until the end of the transaction;
-- true: it is the caller's. For claim_jobs and exchange_jobs only.
--
-- It is taken before any lock of a row, or not waited for: p_waits false answers false where another has it. One
-- that does not come within 5 s is an error (55P03).
create or replace function process_jobs.take_turn(p_waits boolean) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '5s'
as $$
declare
  v_turn constant int := hashtext('claim_next_job: turns');
begin
  if not p_waits then
    return pg_try_advisory_xact_lock(v_turn);
  end if;
  perform pg_advisory_xact_lock(v_turn);
  return true;
end
$$;
