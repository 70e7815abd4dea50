-- enqueue_job: puts a job into the queue as `pending` and returns its id.
--
-- p_payload       a json object that a worker can read (check_job_payload)
-- p_priority      higher runs first, any int
-- p_max_attempts  1 to 100
-- p_scheduled_at  not before this time, a finite one; null: now. A past time decides the place among jobs of equal
--                 priority, as if the job had been enqueued then
-- p_unique_key    1 to 200 characters; while a job of this type and key is unfinished, its id is returned and nothing
--                 is enqueued, even if many call at once
-- p_notify_url    an http or https address that is told of the job's end (notify_end); null: the type's. A user of the app
--                 may give a public one only (check_notify_url)
--
-- Refuses (22023) a type without a row in job_types and arguments out of these bounds.
-- created_by becomes whoever calls (caller).

create or replace function public.enqueue_job(
  p_job_type text,
  p_payload jsonb,
  p_priority int default 0,
  p_max_attempts int default 3,
  p_scheduled_at timestamptz default null,
  p_unique_key text default null,
  p_notify_url text default null
) returns uuid
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return process_jobs.insert_job(
    p_job_type, p_payload, p_priority, p_max_attempts, p_scheduled_at, p_unique_key, process_jobs.caller(),
    p_notify_url);
end
$$;

revoke execute on function public.enqueue_job(text, jsonb, int, int, timestamptz, text, text) from public, anon, authenticated;
grant execute on function public.enqueue_job(text, jsonb, int, int, timestamptz, text, text) to service_role;
