-- user_functions: the functions of the interface that are for `authenticated`, the app's own users, and for nobody else.
create or replace function process_jobs.user_functions() returns oid[]
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select array_agg(s.function)
  from (
    select to_regprocedure('public.' || f.signature)::oid as function
    from unnest(array[
      'cancel_generation(text)', 'get_generation(text)', 'my_limits()', 'request_generation(text, text, jsonb)',
      'retry_generation(text)'
    ]) f (signature)
  ) s
  where s.function is not null
$$;
