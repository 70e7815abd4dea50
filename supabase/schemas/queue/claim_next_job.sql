-- claim_next_job: gives a worker up to p_limit jobs under a lease, whose token is needed to settle them.
--
-- processing, lease expired, attempts left   -> pending, ready now, one entry more in errors
-- processing, lease expired, attempts spent  -> failed, or cancelled if that was requested
-- pending and due, of an open type           -> processing, attempt_number + 1, the claim's lease_token
--
-- Order: first the jobs that have begun and were woken, then by highest priority, oldest, id. p_job_types null: every
-- type with a row in job_types; 'call_function' in it stands for the types whose row names a function. p_lease_seconds
-- null: the type's lease_seconds. Of a paused or held type only jobs that have begun are claimed, and if those are held,
-- only woken ones; of a type with starts_per_minute no more begin than that allows. One call claims at most 8 MiB of
-- payloads, checkpoints and events, but at least one job.
--
-- Jobs that another transaction has locked are skipped, so workers never get the same job. They wait for one another
-- only if starts are counted, leases have expired or troubles are retried: those claims take turns, by a lock that they
-- take before any other. For a row that follows a job, such as an image's generation, they wait 20 ms. A job that the
-- database refuses is skipped for a while (job_troubles), and the others are claimed.
-- A job put back by hand after its last attempt gets one attempt more, and max_attempts rises with it. One call takes
-- back at most 100 expired leases.
--
-- Values for the worker besides the columns: cancel_requested; lease_seconds; age_seconds since started_at, by the
-- database's clock; search_from, before which the job did nothing outside: a minute before its very first claim, because
-- clocks differ, and at most two hours and a minute ago; and call_function and call_timeout_seconds of its type.
--
-- seconds_until_next, the same in each row, is that of seconds_until_next_job if fewer jobs than p_limit came.
--
-- p_worker  {"version", "needs", "webhooks", "bucket"}, with the first call of a drain: describes the worker, which
--           before_drain checks
-- p_lease_token  a fresh one for the claim, made by the caller (null: by the database). A claim whose answer was lost is
--           asked for again by its token: it answers the jobs that it has under its lease, which is then renewed, or if it
--           was not carried out, claims. While it is still under way that is an error (55P03)
--
-- Refuses (22023) p_limit outside 1 to 1000 and p_lease_seconds outside 1 to 86400, and whatever before_drain refuses.

create or replace function public.claim_next_job(
  p_job_types text[] default null,
  p_limit int default 1,
  p_lease_seconds int default null,
  p_worker jsonb default null,
  p_lease_token uuid default null
) returns table (
  id uuid, job_type text, payload jsonb, status text, priority int, attempt_number int, max_attempts int,
  life int, checkpoint jsonb, event jsonb, cancel_requested boolean, lease_token uuid, lease_expires_at timestamptz,
  lease_seconds int, created_at timestamptz, started_at timestamptz, age_seconds double precision,
  search_from timestamptz, seconds_until_next double precision, call_function text, call_timeout_seconds int
)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- As in exchange_jobs.
set enable_seqscan = off
set enable_sort = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_ids uuid[];
  v_next double precision;
begin
  if p_worker is not null then
    perform process_jobs.before_drain(p_worker, p_job_types);
  end if;
  select c.ids, c.seconds_until_next into v_ids, v_next
  from process_jobs.claim_jobs(p_job_types, p_limit, p_lease_seconds, p_lease_token, process_jobs.has_chores(p_job_types), true) c;
  return query
  select c.id, c.job_type::text, c.payload, c.status::text, c.priority, c.attempt_number, c.max_attempts,
    c.life, c.checkpoint, c.event, c.cancel_requested_at is not null, c.lease_token, c.lease_expires_at,
    extract(epoch from c.lease_expires_at - now())::int, c.created_at, c.started_at,
    extract(epoch from now() - c.started_at)::double precision,
    greatest(c.first_started_at, now() - interval '2 hours') - interval '1 minute', v_next,
    t.call_function, t.call_timeout_seconds
  from public.job_queue c
  left join public.job_types t on t.job_type = c.job_type
  where c.id = any (v_ids)
  order by array_position(v_ids, c.id);
end
$$;

revoke execute on function public.claim_next_job(text[], int, int, jsonb, uuid) from public, anon, authenticated;
grant execute on function public.claim_next_job(text[], int, int, jsonb, uuid) to service_role;
