-- check_job_payload: trigger on job_queue; accepts only payloads that a worker can read, whoever writes them.
--
-- A payload that a worker cannot read would spoil the claim of the other jobs in its batch. Refuses (22023) anything
-- but a json object, and whatever json_refusal refuses. Existing rows are not checked, nor are rows that a restore
-- inserts, whose times are not of now: one from before this trigger would fail the whole COPY.
create or replace function process_jobs.check_job_payload() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_refusal text := process_jobs.json_refusal('payload', new.payload);
begin
  if tg_op = 'INSERT' and new.created_at <> now() and new.updated_at <> now() then
    return null;
  end if;
  if new.payload is null or jsonb_typeof(new.payload) <> 'object' then
    raise exception 'payload must be a json object, not %', coalesce(jsonb_typeof(new.payload), 'null')
      using errcode = '22023';
  elsif v_refusal is not null then
    raise exception '%', v_refusal using errcode = '22023';
  end if;
  return null;
end
$$;

create or replace trigger process_jobs_check_payload
  after insert or update of payload on public.job_queue
  for each row
  -- (What is shorter json_refusal never refuses.)
  when (jsonb_typeof(new.payload) is distinct from 'object' or octet_length(new.payload::text) > 200)
  execute function process_jobs.check_job_payload();
