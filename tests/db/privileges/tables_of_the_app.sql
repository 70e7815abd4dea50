-- Tables that were there before: who may do what with them stays as the app has said it.
begin;
select plan(8);
set local client_min_messages = warning;
create schema auth;
create function auth.uid() returns uuid language sql stable as $$ select nullif(current_setting('request.jwt.claims', true)::jsonb ->> 'sub', '')::uuid $$;
grant usage on schema auth to anon, authenticated;
drop table images, image_generations;
create role reporter;
create table image_generations (
  id uuid primary key, user_id uuid, prompt text, negative_prompt text, model text, width int, height int, steps int,
  guidance_scale numeric, status text not null default 'pending', error_message text, generation_time_seconds int,
  replicate_prediction_id text, created_at timestamptz default now(), updated_at timestamptz, completed_at timestamptz
);
create table images (
  id uuid primary key default gen_random_uuid(), generation_id uuid references image_generations (id), user_id uuid,
  filename text not null, storage_path text not null, public_url text, file_size int, width int, height int, format text,
  prompt text, negative_prompt text, model text, archived_at timestamptz, created_at timestamptz default now()
);
revoke all on images, image_generations from public, anon, authenticated, service_role;
grant insert, update (prompt) on image_generations to authenticated;
grant select, references on images to authenticated, reporter;
grant select on image_generations to anon;
alter table images enable row level security;
create policy "users see what they have not archived" on images for select to authenticated
  using (user_id = (select auth.uid()) and archived_at is null);
create policy "users read their own images" on images for update to authenticated using (false);
create temp view said as
select c.relname, c.relacl, c.relrowsecurity, c.relforcerowsecurity, a.attname, a.attacl, p.policyname, p.qual, p.cmd
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
left join pg_policies p on p.schemaname = 'public' and p.tablename = c.relname
where c.oid in (to_regclass('public.images'), to_regclass('public.image_generations'));
create temp table said_before as select * from said;
\ir ../../../supabase/schemas/images/image_generations.sql
\ir ../../../supabase/schemas/images/images.sql
select is((select count(*) from (select * from said except select * from said_before) s), 0::bigint, 'no grant and no policy is new');
select is((select count(*) from (select * from said_before except select * from said) s), 0::bigint, 'and none is lost');
select is((select relrowsecurity from pg_class where oid = 'public.image_generations'::regclass), false, 'nor is row level security');

select enqueue_job('generate-image', '{"generation_id": "11111111-1111-1111-1111-111111111111", "user_id": "22222222-2222-2222-2222-222222222222"}') as id \gset
select is((select status from image_generations), 'queued', 'their rows follow jobs all the same');

-- One that is ours is told from them when the migrations run again, too.
drop table images, image_generations;
\ir ../../../supabase/schemas/images/image_generations.sql
\ir ../../../supabase/schemas/images/images.sql
\ir ../../../supabase/schemas/images/image_generations.sql
\ir ../../../supabase/schemas/images/images.sql
select is((select count(*) from pg_policies where tablename in ('images', 'image_generations')), 2::bigint, 'tables of ours have our policies');
select table_privs_are('public', 'images', 'authenticated', '{SELECT}', 'and privileges');
grant insert on images to authenticated;
\ir ../../../supabase/schemas/images/images.sql
select table_privs_are('public', 'images', 'authenticated', '{SELECT,INSERT}', 'what an app grants on them later stays');
select is((select count(*) from pg_class where relname in ('images', 'image_generations') and relrowsecurity), 2::bigint, 'and row level security is on');
select * from finish();
rollback;
