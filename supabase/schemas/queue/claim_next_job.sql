-- claim_next_job: gives a worker up to p_limit jobs, each with a lease that only it may settle.
--
-- processing, lease expired, attempts left   -> pending, ready now, one entry more in errors
-- processing, lease expired, attempts spent  -> failed, or cancelled where that was asked for
-- pending and due, of an open type           -> processing, attempt_number + 1, fresh lease_token
--
-- Order: highest priority, then oldest, then id; before all others those that have begun and were woken. p_job_types
-- null: every type with a row in job_types. p_lease_seconds null: the type's lease_seconds. Of a paused or held type
-- only jobs that have begun are claimed, where those are held only what was woken; of one with starts_per_minute no
-- more begin than that allows. No more are claimed than 8 MiB of payloads, checkpoints and events, but one.
--
-- Jobs that another transaction has locked are passed over, so workers never get the same job and wait for one
-- another only where starts are counted, leases have expired or troubles are tried again: those claims take turns, by a
-- lock that they take before any other. For a row that follows a job, as an image's generation does, they wait 20 ms.
-- What is refused for one job is that job's trouble (job_troubles): it is passed over for a while, and the others are
-- claimed.
-- A job put back by hand after its last attempt gets one attempt more, and max_attempts rises with it.
-- At most 100 expired leases are taken back in one call.
--
-- What a worker needs beside the columns: cancel_requested; lease_seconds; age_seconds since started_at, by the
-- database's clock; and search_from, before which the job has done nothing outside: a minute before its very first
-- claim, for clocks that differ, and two hours ago at most.
--
-- Refuses (22023) p_limit outside 1 to 1000 and p_lease_seconds outside 1 to 86400.

create or replace function public.claim_next_job(
  p_job_types text[] default null,
  p_limit int default 1,
  p_lease_seconds int default null
) returns table (
  id uuid, job_type text, payload jsonb, status text, priority int, attempt_number int, max_attempts int,
  life int, checkpoint jsonb, event jsonb, cancel_requested boolean, lease_token uuid, lease_expires_at timestamptz,
  lease_seconds int, created_at timestamptz, started_at timestamptz, age_seconds double precision,
  search_from timestamptz
)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query select * from process_jobs.claim_jobs(p_job_types, p_limit, p_lease_seconds, true);
end
$$;

revoke execute on function public.claim_next_job(text[], int, int) from public, anon, authenticated;
grant execute on function public.claim_next_job(text[], int, int) to service_role;
