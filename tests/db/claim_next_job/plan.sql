-- With 100,000 held, throttled or paused jobs at the head, 50,000 not yet due after them and 100,000 ready ones last, a claim
-- of ten touches rows by the hundred, not by the hundred thousand. Counted by the server, not timed.
-- (Emptied, so that its files have none of what other tests have left.)
begin;
truncate job_queue;
select plan(11);
insert into job_types (job_type) values ('work'), ('held'), ('other');
insert into job_queue (job_type, priority, scheduled_at)
select 'held', 10, now() from generate_series(1, 100000)
union all select 'work', 5, now() + interval '1 hour' from generate_series(1, 50000)
union all select 'work', 0, now() from generate_series(1, 100000)
union all select 'other', 0, now() from generate_series(1, 1000);
update job_types set held_until = now() + interval '1 hour' where job_type = 'held';

create function pg_temp.rows_read(p_query text) returns bigint language plpgsql as $$
declare
  v_before bigint;
  v_after bigint;
begin
  select seq_tup_read + idx_tup_fetch into v_before from pg_stat_xact_user_tables where relid = 'public.job_queue'::regclass;
  execute p_query;
  select seq_tup_read + idx_tup_fetch into v_after from pg_stat_xact_user_tables where relid = 'public.job_queue'::regclass;
  return v_after - v_before;
end
$$;

-- An index-only scan on pages that are not all visible counts a fetch an entry, but only for entries
-- that fit the index condition: what is not due is skipped inside the index.
select cmp_ok(pg_temp.rows_read('select claim_next_job(p_limit => 10)'), '<', 300::bigint, 'before analyze, a claim of ten reads few rows');
select cmp_ok(pg_temp.rows_read('select seconds_until_next_job()'), '<', 20::bigint, 'and seconds_until_next_job too');
update pg_class set reltuples = 0, relpages = pg_relation_size(oid) / 8192
where oid = 'job_queue'::regclass or oid in (select indexrelid from pg_index where indrelid = 'job_queue'::regclass);
select cmp_ok(pg_temp.rows_read('select claim_next_job(p_limit => 10)'), '<', 300::bigint, 'with statistics of when the queue was empty, a claim of ten reads few rows');
select cmp_ok(pg_temp.rows_read('select seconds_until_next_job()'), '<', 20::bigint, 'and seconds_until_next_job too');
analyze job_queue;
select cmp_ok(pg_temp.rows_read('select claim_next_job(p_limit => 10)'), '<', 300::bigint, 'after analyze, a claim of ten reads few rows');
select cmp_ok(pg_temp.rows_read('select seconds_until_next_job()'), '<', 20::bigint, 'and seconds_until_next_job too');
update job_types set held_until = null;
select cmp_ok(pg_temp.rows_read('select claim_next_job(p_limit => 10)'), '<', 300::bigint, 'with every type open too');
select is((select count(*) from job_queue where status = 'processing'), 40::bigint, 'each claim got its ten');
update job_types set starts_per_minute = 60, start_tokens = 0, start_tokens_at = now() where job_type = 'held';
select cmp_ok(pg_temp.rows_read('select claim_next_job(p_limit => 10)'), '<', 300::bigint, 'with 100,000 waiting for a start at the head');
select pause_job_type('held', 'no credit');
update job_queue set checkpoint = '{}' where id in (select id from job_queue where job_type = 'held' and status = 'pending' limit 10);
select cmp_ok(pg_temp.rows_read('select claim_next_job(p_limit => 10)'), '<', 300::bigint, 'with 100,000 paused at the head');
select is((select count(*) from job_queue where status = 'processing' and checkpoint is not null), 10::bigint, 'those that have begun came first');

select * from finish();
rollback;
