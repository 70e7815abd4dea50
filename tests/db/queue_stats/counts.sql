begin;
select plan(2);
insert into job_types (job_type) values ('work'), ('held'), ('paused');

select is(queue_stats(),
  jsonb_build_object('ready', 0, 'scheduled', 0, 'processing', 0, 'stuck', 0, 'oldest_ready_seconds', null, 'paused', '[]'::jsonb,
    'version', process_jobs.version()), 'an empty queue');

insert into job_queue (job_type, status, scheduled_at, lease_token, lease_expires_at) values
  ('work', 'pending', now() - interval '5 seconds', null, null),
  ('work', 'pending', now(), null, null),
  ('work', 'pending', now() + interval '5 seconds', null, null),
  ('held', 'pending', now() - interval '1 day', null, null),
  ('paused', 'pending', now() - interval '1 day', null, null),
  ('work', 'processing', now(), gen_random_uuid(), now() + interval '1 minute'),
  ('work', 'processing', now(), gen_random_uuid(), now() + interval '1 minute'),
  ('work', 'processing', now(), gen_random_uuid(), now() - interval '1 second'),
  ('work', 'completed', now(), null, null),
  ('work', 'failed', now(), null, null);
update job_types set held_until = now() + interval '1 minute' where job_type = 'held';
select pause_job_type('paused', 'no credit');
select is(queue_stats(),
  jsonb_build_object('ready', 2, 'scheduled', 3, 'processing', 3, 'stuck', 1, 'oldest_ready_seconds', 5.0,
    'paused', jsonb_build_array(jsonb_build_object('job_type', 'paused', 'reason', 'no credit', 'since', now())),
    'version', process_jobs.version()),
  'ready is what a worker could claim now, stuck what no claim has taken back');

select * from finish();
rollback;
