-- New objects belong to service_role alone, or to the app's users, whatever the default grants are; the app's earlier grants stay.
do $$
declare
  v_grant record;
begin
  for v_grant in
    select format('revoke all on function %s from %s', n.oid::regprocedure, n.role) as statement
    from (
      select distinct p.oid, case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as role
      from pg_catalog.pg_proc p, aclexplode(p.proacl) a
      where p.oid = any (process_jobs.public_functions()) and a.grantee <> p.proowner
        and pg_get_userbyid(a.grantee) <> 'service_role'
        and not exists (select from process_jobs_granted g where g.oid = p.oid)
        and not (p.oid = any (process_jobs.user_functions()) and pg_get_userbyid(a.grantee) = 'authenticated')
    ) n
    union all
    select format('grant %s on %s %s to %s', a.privilege_type, g.kind,
      case g.kind when 'function' then g.oid::regprocedure::text else g.oid::regclass::text end,
      case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end)
    from process_jobs_granted g, aclexplode(g.acl) a
    where g.oid = any (process_jobs.public_functions()) or g.kind = 'table'
  loop
    execute v_grant.statement;
  end loop;
end
$$;

-- The messages and trials once everything is installed.
do $$
declare
  v_refusal text;
begin
  if current_setting('process_jobs.places', true) = 'to be filled' then
    perform process_jobs.rebuild_places();
    perform set_config('process_jobs.places', '', true);
  end if;
  if not exists (select from process_jobs.releases) then
    -- Jobs of a type without a handler wait, and more of them may be enqueued, as before.
    insert into public.job_types (job_type)
    select distinct j.job_type from public.job_queue j
    on conflict (job_type) do nothing;
    if obj_description('public.job_queue'::regclass, 'pg_class') is distinct from 'made by process-jobs' then
      v_refusal := process_jobs.rehearse_queue();
      if v_refusal is not null then
        raise exception E'process-jobs cannot move in:\n- %', v_refusal using errcode = '55000';
      end if;
    end if;
  end if;

  perform process_jobs.follow_image_generations();
  v_refusal := process_jobs.look_at_image_tables(true);
  if v_refusal is not null then
    raise warning 'generate-image is paused: %', v_refusal;
  end if;
end
$$;
