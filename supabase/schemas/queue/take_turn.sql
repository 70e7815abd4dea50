-- take_turn: takes, until the end of the transaction, the turn of claims that count starts or take back expired leases;
-- true: the caller has it. Only for claim_jobs and exchange_jobs.
--
-- It is taken before any lock of a row, or without waiting: p_waits false returns false if another session has it. A
-- turn that does not come within 5 s is an error (55P03).
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
