begin;
select plan(22);
select is_empty(
  $$select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'
    and relname in ('job_queue', 'job_types', 'user_limits', 'image_generations', 'images', 'generation_progress', 'usage_ledger', 'model_prices', 'project_budget') and not relrowsecurity$$,
  'row level security is on everywhere');
select table_privs_are('public', 'job_queue', 'anon', '{}', 'anon has no privilege on job_queue');
select table_privs_are('public', 'job_queue', 'authenticated', '{}', 'nor has authenticated');
select table_privs_are('public', 'job_types', 'authenticated', '{}', 'nor on job_types');
select table_privs_are('public', 'user_limits', 'authenticated', '{}', 'nor on user_limits');
select is_empty(
  $$select r from unnest(array['anon', 'authenticated', 'service_role']) r where has_schema_privilege(r, 'process_jobs', 'usage, create')$$,
  'no role of the API looks into the private schema, where the stored key lies');
select table_privs_are('public', 'image_generations', 'anon', '{}', 'anon has no privilege on image_generations');
select table_privs_are('public', 'images', 'anon', '{}', 'nor on images');
select table_privs_are('public', 'image_generations', 'authenticated', '{SELECT}', 'authenticated reads image_generations');
select table_privs_are('public', 'images', 'authenticated', '{SELECT}', 'and images');
select table_privs_are('public', 'generation_progress', 'anon', '{}', 'nor on generation_progress');
select table_privs_are('public', 'generation_progress', 'authenticated', '{SELECT}', 'which authenticated reads');
select table_privs_are('public', 'generation_progress', 'service_role', '{SELECT}', 'and nobody writes');
select table_privs_are('public', 'usage_ledger', 'anon', '{}', 'anon has no privilege on usage_ledger');
select table_privs_are('public', 'usage_ledger', 'authenticated', '{SELECT}', 'authenticated reads it');
select table_privs_are('public', 'usage_ledger', 'service_role', '{SELECT}', 'service_role too, and nobody writes it');
select is_empty(
  $$select format('%s: %s', r, t) from unnest('{model_prices,project_budget,costs_by_user,costs_by_model}'::text[]) t,
      unnest('{anon,authenticated}'::text[]) r where has_table_privilege(r, 'public.' || t, 'select, insert, update, delete, truncate, references, trigger')$$,
  'of prices, the budget and the sums, users have nothing');
select table_privs_are('public', 'model_prices', 'service_role', '{SELECT,INSERT,UPDATE,DELETE}', 'service_role edits prices');
select table_privs_are('public', 'project_budget', 'service_role', '{SELECT,UPDATE}', 'and the budget');
select table_privs_are('public', 'costs_by_user', 'service_role', '{SELECT}', 'and reads the sums');
insert into usage_ledger (id, job_id, status) values ('p1', gen_random_uuid(), 'failed');
set local role service_role;
select predictions as by_user from costs_by_user \gset
select predictions as by_model from costs_by_model \gset
reset role;
select is(:by_user, 1, 'of all users');
select is(:by_model, 1, 'and models');
select * from finish();
rollback;
