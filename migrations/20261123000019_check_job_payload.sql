-- check_job_payload: trigger on job_queue; lets in only payloads that a worker can read, however they come.
--
-- A json object, at most 1048576 bytes as text, 100 levels deep, its numbers below 1e308: one that a worker
-- cannot read would spoil the claim of the others in its batch. Refuses (22023) any other, naming what is
-- wrong. Rows that are there already are not looked at.
create or replace function public.check_job_payload() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if new.payload is null or jsonb_typeof(new.payload) <> 'object' then
    raise exception 'payload must be a json object, not %', coalesce(jsonb_typeof(new.payload), 'null')
      using errcode = '22023';
  end if;
  if octet_length(new.payload::text) > 1048576 then
    raise exception 'payload must have at most 1048576 bytes, not %', octet_length(new.payload::text)
      using errcode = '22023';
  end if;
  if jsonb_path_exists(new.payload, '$.**{101 to last}') then
    raise exception 'payload must be at most 100 levels deep' using errcode = '22023';
  end if;
  if jsonb_path_exists(new.payload, '$.** ? (@.type() == "number" && @.abs() >= 1e308)') then
    raise exception 'payload must have no number of 1e308 or more' using errcode = '22023';
  end if;
  return new;
end
$$;

revoke execute on function public.check_job_payload() from public, anon, authenticated, service_role;

create or replace trigger check_job_payload
  before insert or update of payload on public.job_queue
  for each row
  execute function public.check_job_payload();
