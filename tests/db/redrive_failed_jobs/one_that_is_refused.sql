-- What keeps one failed job from a new life keeps no other.
begin;
select plan(4);
set local client_min_messages = error;
insert into job_types (job_type) values ('work');
create function pg_temp.refuse() returns trigger language plpgsql as $$ begin raise exception 'not this one'; end $$;
create trigger refuse before update on job_queue for each row when (old.payload = '{"refuse": true}') execute function pg_temp.refuse();
insert into job_queue (job_type, payload, status, attempt_number, max_attempts, life, completed_at) values
  ('work', '{"refuse": true}', 'failed', 3, 3, 1, now() - interval '4 hours'), ('work', '{}', 'failed', 3, 3, 2147483647, now() - interval '3 hours'),
  ('work', '{}', 'failed', 2147483647, 2147483647, 1, now() - interval '2 hours'), ('work', '{}', 'failed', 3, 3, 1, now());
select is(redrive_failed_jobs(p_limit => 2), 2, 'a refusal counts for nothing');
select results_eq($$select attempt_number, max_attempts from job_queue where status = 'pending' order by 1$$, $$values (3, 6), (2147483647, 2147483647)$$, 'attempts end where numbers do');
select is((select count(*) from job_queue where status = 'failed'), 2::bigint, 'the others stay failed');
select throws_ok($$select retry_job((select id from job_queue where payload = '{"refuse": true}'))$$, 'P0001', 'not this one', 'and say why');
select * from finish();
rollback;
