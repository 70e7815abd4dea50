-- A project whose tables were there before, with uuid ids: the same functions, run again over them.
begin;
select plan(8);
set local client_min_messages = error;
drop table images, image_generations;
create table image_generations (
  id uuid primary key, user_id uuid not null, prompt text, negative_prompt text, model text, style text,
  width int, height int, steps int, guidance_scale double precision, status text not null default 'pending',
  error_message text, generation_time_seconds int, replicate_prediction_id text,
  created_at timestamptz default now(), updated_at timestamptz default now(), completed_at timestamptz
);
\ir ../../../supabase/schemas/images/image_generations.sql
\ir ../../../supabase/schemas/images/images.sql
select col_type_is('public', 'image_generations', 'id', 'uuid', 'the project''s table stays');
select col_type_is('public', 'images', 'generation_id', 'uuid', 'a new images table takes its types');
\set payload '{"generation_id": "11111111-1111-1111-1111-111111111111", "user_id": "22222222-2222-2222-2222-222222222222"}'

select enqueue_job('generate-image', :'payload') as id \gset
select is((select status from image_generations), 'queued', 'enqueued');
select lease_token from claim_next_job() \gset
select is((select status from image_generations), 'processing', 'claimed');
select complete_job(:'id', '{}', p_lease_token => :'lease_token',
  p_follow_ups => jsonb_build_array(jsonb_build_object('job_type', 'download-image', 'payload', :'payload'::jsonb)));
select id, lease_token from claim_next_job() \gset
select complete_job(:'id', '{"storage_path": "a/b.png", "filename": "b.png", "width": 8, "height": 9}', p_lease_token => :'lease_token');
select results_eq('select status, width, height from image_generations', $$values ('completed', 8, 9)$$, 'completed');
select is((select generation_id from images), '11111111-1111-1111-1111-111111111111'::uuid, 'with its image');

select throws_ok($$select enqueue_job('generate-image', '{"generation_id": "not-a-uuid", "user_id": "u-1"}')$$, '22P02', null,
  'a job whose ids are no uuids is refused');
select is((select count(*) from image_generations), 1::bigint, 'without a generation');

select * from finish();
rollback;
