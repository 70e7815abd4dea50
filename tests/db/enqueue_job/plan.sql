-- However many generations there are, an enqueue reads the one that it is about, whatever the statistics say.
begin;
select plan(3);
analyze image_generations;
analyze job_queue;
select enqueue_job('generate-image', jsonb_build_object('generation_id', 'g-' || n, 'user_id', 'u'), p_unique_key => 'k-' || n)
from generate_series(1, 3000) n \g /dev/null
create function pg_temp.rows_read(p_table regclass) returns bigint language sql as
$$ select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relid = p_table $$;
select cmp_ok(pg_temp.rows_read('image_generations'), '<', 30000::bigint, 'of 3,000 enqueues each reads a few generations');
select cmp_ok(pg_temp.rows_read('job_queue'), '<', 30000::bigint, 'and a few jobs');
select id, lease_token from claim_next_job() \gset
select pg_temp.rows_read('job_queue') as before \gset
select heartbeat_job(:'id', :'lease_token'), wake_job(:'id', '{"a": 1}'), cancel_job(:'id'),
  complete_job(:'id', p_error => 'no', p_lease_token => :'lease_token', p_retry => 'never'), retry_job(:'id') \g /dev/null
select cmp_ok(pg_temp.rows_read('job_queue') - :before, '<', 50::bigint, 'a job is found by its id');
select * from finish();
rollback;
