begin;
select plan(13);
insert into job_types (job_type) values ('work'), ('play');

select is(seconds_until_next_job(), null, 'an empty queue: null');
insert into job_queue (job_type, scheduled_at) values ('work', now() + interval '90 seconds'), ('play', now() + interval '30 seconds');
select is(seconds_until_next_job(), 30::double precision, 'the earliest of all types');
select is(seconds_until_next_job(array['work']), 90::double precision, 'of the types asked for');
select is(seconds_until_next_job(array['none']), null, 'a type without a row: null');
update job_types set held_until = now() + interval '60 seconds' where job_type = 'play';
select is(seconds_until_next_job(), 60::double precision, 'a held type counts from the end of its hold');
select pause_job_type('play', 'x');
select is(seconds_until_next_job(), 90::double precision, 'a paused type does not count');
update job_queue set scheduled_at = now() - interval '1 hour' where job_type = 'work';
select is(seconds_until_next_job(), 0::double precision, 'a ready job: 0');
select lease_token from claim_next_job() \gset
select is(seconds_until_next_job(), null, 'a job at work does not count');
update job_queue set lease_expires_at = now() where status = 'processing';
select is(seconds_until_next_job(), 0::double precision, 'an expired lease does');
select is(seconds_until_next_job(array['play']), 0::double precision, 'for every type, because every claim takes it back');
select claim_next_job(array['play']);
select is(seconds_until_next_job(array['play']), null, 'after which it does not');

insert into process_jobs.job_troubles (job_id, kind, message, retry_at)
select id, 'cancel', 'x', now() + interval '20 seconds' from job_queue where job_type = 'work';
select is(seconds_until_next_job(array['play']), 20::double precision, 'a cancel that was refused counts from its next try');
update process_jobs.job_troubles set retry_at = now();
select is(seconds_until_next_job(array['play']), 0::double precision, 'and is due then');

select * from finish();
rollback;
