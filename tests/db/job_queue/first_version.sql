-- The table and functions of the first version, brought up to date in place.
begin;
select plan(6);
set local client_min_messages = error;
drop table job_queue;
create table job_queue (
  id uuid primary key default gen_random_uuid(), job_type text not null, payload jsonb not null, status text not null default 'pending',
  priority int not null default 0, attempt_number int not null default 0, max_attempts int not null default 3,
  result jsonb, error_message text, created_at timestamptz not null default now(), updated_at timestamptz not null default now(), completed_at timestamptz
);
create function claim_next_job() returns setof job_queue language sql as 'select * from public.job_queue';
create function complete_job(p_job_id uuid, p_result jsonb default null, p_error text default null) returns void language sql as '';
create function enqueue_job(p_job_type text, p_payload jsonb, p_priority int default 0, p_max_attempts int default 3) returns uuid language sql as 'select null::uuid';
insert into job_queue (job_type, payload, status, attempt_number) values
  ('generate-image', '"was at work"', 'processing', 1), ('generate-image', '"had run too often"', 'failed', 5), ('generate-image', '"waits"', 'pending', 0);
\ir ../../../supabase/schemas/steps/0.1.0.sql
\ir ../../../supabase/schemas/queue/job_queue.sql
\ir ../../../supabase/schemas/queue/enqueue_job.sql
\ir ../../../supabase/schemas/queue/claim_next_job.sql
\ir ../../../supabase/schemas/queue/complete_job.sql

select set_eq(
  $$select payload #>> '{}', status from job_queue$$,
  $$values ('was at work', 'pending'), ('had run too often', 'failed'), ('waits', 'pending')$$,
  'no job is lost, and one that was at work is pending again');
select lives_ok('select * from claim_next_job()', 'claim_next_job() means one function');
select id from job_queue where status = 'processing' \gset
select lives_ok(format($$select complete_job(%L, '{}'::jsonb)$$, :'id'), 'complete_job(p_job_id, p_result) too');
select id from claim_next_job() \gset
select lives_ok(format($$select complete_job(%L, p_error => 'x')$$, :'id'), 'complete_job(p_job_id, p_error => …) too');
select isnt(enqueue_job('generate-image', '{}'::jsonb), null, 'enqueue_job(type, payload) too');
select is((select count(*) from pg_proc where proname in ('claim_next_job', 'complete_job', 'enqueue_job') and pronamespace = 'public'::regnamespace), 3::bigint, 'nothing is left of the old ones');

select * from finish();
rollback;
