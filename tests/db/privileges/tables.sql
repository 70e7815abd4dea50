begin;
select plan(13);
select is_empty(
  $$select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'
    and relname in ('job_queue', 'job_types', 'user_limits', 'image_generations', 'images', 'generation_progress') and not relrowsecurity$$,
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
select * from finish();
rollback;
