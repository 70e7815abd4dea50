-- 0.1.0, for databases of its development: a claim tells which function a job's type names.
do $$
begin
  if exists (
    select from pg_catalog.pg_proc p
    where p.oid = to_regprocedure('public.claim_next_job(text[], int, int, jsonb, uuid)') and 'call_function' <> all (p.proargnames)
  ) then
    drop function public.claim_next_job(text[], int, int, jsonb, uuid);
  end if;
end
$$;
