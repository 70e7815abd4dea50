-- caller: who enqueues, for created_by: the token's `sub`, else its `role`, else the database's session user; in an
-- app's own job_queue `sub` only.
create or replace function process_jobs.caller() returns text
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_claims jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
begin
  return case
    when v_claims ->> 'sub' is not null then v_claims ->> 'sub'
    -- An app's own column holds users, and may be a key of theirs. (obj_description is planned in each call.)
    when exists (
      select from pg_description d
      where d.objoid = 'public.job_queue'::regclass and d.classoid = 'pg_class'::regclass and d.objsubid = 0
        and d.description = 'made by process-jobs'
    ) then coalesce(v_claims ->> 'role', session_user)
  end;
end
$$;
