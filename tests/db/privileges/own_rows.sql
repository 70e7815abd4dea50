-- With the schemas auth and storage of a Supabase project, as far as the migrations look at them.
begin;
select plan(12);
set local client_min_messages = error;
create schema auth;
create function auth.uid() returns uuid language sql stable as $$ select nullif(current_setting('request.jwt.claims', true)::jsonb ->> 'sub', '')::uuid $$;
grant usage on schema auth to anon, authenticated;
create schema storage;
create table storage.buckets (
  id text primary key, name text not null, public boolean, file_size_limit bigint, allowed_mime_types text[]);
\ir ../../../supabase/schemas/images/image_generations.sql
\ir ../../../supabase/schemas/images/images.sql
\ir ../../../supabase/schemas/costs/usage_ledger.sql
\ir ../../../supabase/schemas/images/generated_images_bucket.sql
\ir ../../../supabase/schemas/images/generated_images_bucket.sql
select results_eq('select id, public, file_size_limit, cardinality(allowed_mime_types) from storage.buckets',
  $$values ('generated-images', true, 52428800::bigint, 6)$$, 'the public bucket is made once');
update storage.buckets set public = false, file_size_limit = null, allowed_mime_types = null;
\ir ../../../supabase/schemas/images/generated_images_bucket.sql
select results_eq('select public, file_size_limit, allowed_mime_types from storage.buckets',
  $$values (false, null::bigint, null::text[])$$, 'one that is there stays as it is');

insert into image_generations (id, user_id) values
  ('mine', '11111111-1111-1111-1111-111111111111'), ('theirs', '22222222-2222-2222-2222-222222222222');
insert into images (generation_id, user_id, filename, storage_path)
select id, user_id, id || '.png', user_id || '/' || id || '.png' from image_generations;

insert into usage_ledger (id, job_id, user_id, status) select id, gen_random_uuid(), user_id, 'failed' from image_generations
union all select 'nobodys', gen_random_uuid(), null, 'failed';

-- pgTAP's own state belongs to the superuser: what a user sees is kept and looked at afterwards.
set local request.jwt.claims = '{"role": "authenticated", "sub": "11111111-1111-1111-1111-111111111111"}';
set local role authenticated;
select string_agg(id, ',') as generations_seen from image_generations \gset
select string_agg(generation_id, ',') as images_seen from images \gset
select string_agg(id, ',') as usage_seen from usage_ledger \gset
set local request.jwt.claims = '{"role": "authenticated"}';
select count(*) as seen_without_sub from image_generations \gset
select count(*) as used_without_sub from usage_ledger \gset
reset role;
select is(:'generations_seen'::text, 'mine', 'a user sees their own generations only');
select is(:'images_seen'::text, 'mine', 'and their own images only');
select is(:'usage_seen'::text, 'mine', 'and what their own have used');
select is(:used_without_sub, 0, 'nobody sees what belongs to nobody');
select throws_ok($$set local role authenticated; insert into usage_ledger (id, job_id, status) values ('x', gen_random_uuid(), 'failed')$$, '42501', null, 'a user writes no usage');
reset role;
select is(:seen_without_sub, 0, 'a token without a user sees none');
select throws_ok('set local role anon; select * from image_generations', '42501', null, 'anon may not read generations');
reset role;
select throws_ok($$set local role authenticated; insert into images (generation_id, user_id, filename, storage_path) values ('mine', '11111111-1111-1111-1111-111111111111', 'x', 'y')$$, '42501', null, 'a user writes no images');
select throws_ok('set local role authenticated; select * from job_queue', '42501', null, 'a user reads no jobs');
select throws_ok('set local role authenticated; select claim_next_job()', '42501', null, 'a user claims no jobs');

select * from finish();
rollback;
