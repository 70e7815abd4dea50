-- starts_per_minute 600: sixty at once, then ten a second. Time is moved by moving start_tokens_at.
begin;
select plan(12);
insert into job_types (job_type, starts_per_minute) values ('work', 600);
insert into job_types (job_type) values ('play');
insert into job_queue (job_type, priority) select 'work', 5 from generate_series(1, 200);
insert into job_queue (job_type) select 'play' from generate_series(1, 5);
create function pg_temp.later(p_time interval) returns void language sql as
$$ update job_types set start_tokens_at = start_tokens_at - p_time where job_type = 'work' $$;

select is((select count(*) from claim_next_job(p_limit => 50)), 50::bigint, 'a burst of a tenth of a minute''s');
select is((select count(*) from claim_next_job(array['work'], 50)), 10::bigint, 'and no more');
select is_empty($$select * from claim_next_job(array['work'], 50)$$, 'the bucket is empty');
select is((select count(*) from claim_next_job(p_limit => 50)), 5::bigint, 'other types go on, though they rank lower');
select is(seconds_until_next_job(), 0.1::float8, 'the next start is a tenth of a second away');
select pg_temp.later('1.25 seconds');
select is(seconds_until_next_job(), 0::float8, 'and comes');
select is((select count(*) from claim_next_job(p_limit => 50)), 12::bigint, 'it fills evenly');
select pg_temp.later('50 ms');
select is((select count(*) from claim_next_job(p_limit => 50)), 1::bigint, 'fractions are kept');
select pg_temp.later('1 day');
select is((select count(*) from claim_next_job(p_limit => 100)), 60::bigint, 'up to the burst');

-- What has begun is no start.
select snooze_job(c.id, c.lease_token, 0, '{"prediction_id": "p"}')
from (select id, lease_token from job_queue where job_type = 'work' and status = 'processing' limit 20) c;
select is((select count(*) from claim_next_job(array['work'], 50)), 20::bigint, 'jobs that have begun go on without a start');
update job_types set starts_per_minute = 1, start_tokens = null where job_type = 'work';
select is((select count(*) from claim_next_job(array['work'], 50)), 1::bigint, 'one start at least, however slow');
select cmp_ok(seconds_until_next_job(array['work']), '=', 60::float8, 'and then one a minute');

select * from finish();
rollback;
