begin;
select plan(9);
insert into job_types (job_type) values ('work');

-- Claims one job and answers its id and token.
create function pg_temp.claimed(out id uuid, out token uuid) language sql as
$$ insert into job_queue (job_type) values ('work'); select id, lease_token from claim_next_job() $$;

select id, token from pg_temp.claimed() \gset
select snooze_job(:'id', :'token', 30, p_hold_job_type => true);
select is((select held_until from job_types where job_type = 'work'), now() + interval '30 seconds', 'the whole type waits');
update job_types set held_until = now() where job_type = 'work';
select id, token from pg_temp.claimed() \gset
update job_types set held_until = now() + interval '60 seconds' where job_type = 'work';
select snooze_job(:'id', :'token', 30, p_hold_job_type => true);
select is((select held_until from job_types where job_type = 'work'), now() + interval '60 seconds', 'a longer hold stays');
select is((select held_until from job_types where job_type = 'generate-image'), null, 'other types go on');

update job_types set held_until = null;
select id, token from pg_temp.claimed() \gset
select is(snooze_job(:'id', :'token', 0, p_pause_reason => 'replicate answered 402'), true, 'a job pauses its type');
select results_eq(
  $$select paused_at, paused_reason from job_types where job_type = 'work'$$, $$values (now(), 'replicate answered 402')$$,
  'with a reason');
select is_empty('select * from claim_next_job()', 'nothing of it is claimed');
select is((select attempt_number from job_queue where id = :'id'), 0, 'and no attempt is spent');

-- Whatever its attempt, a job that waits without having begun does not grow older.
update job_types set paused_at = null, paused_reason = null;
insert into job_queue (job_type, attempt_number, started_at, first_started_at) values
  ('work', 2, now() - interval '1 hour', now() - interval '1 hour') returning id \gset
update job_queue set scheduled_at = now() + interval '1 hour' where id <> :'id' and status = 'pending';
select lease_token from claim_next_job() \gset
select snooze_job(:'id', :'lease_token', 0, p_pause_reason => 'replicate answered 402');
insert into job_queue (job_type, attempt_number, started_at, scheduled_at) values ('work', 1, now() - interval '1 hour', now() + interval '1 hour');
select resume_job_type('work');
select is((select count(*) from job_queue where status = 'pending' and started_at is not null), 0::bigint, 'nor one in backoff');
select results_eq('select age_seconds, search_from from claim_next_job()', $$values (0::float8, now() - interval '61 minutes')$$, 'though what it did before is looked for');

select * from finish();
rollback;
