-- A thousand at once read a few rows each, whatever the statistics say.
begin;
select plan(3);
insert into job_types (job_type) values ('work');
analyze image_generations;
analyze job_queue;
create function pg_temp.rows_read(p_table regclass) returns bigint language sql as
$$ select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relid = p_table $$;
create function pg_temp.enqueue(p_from int) returns void language plpgsql as $$
begin
  perform enqueue_jobs(jsonb_agg(jsonb_build_object('job_type', 'generate-image', 'unique_key', 'k-' || n,
    'payload', jsonb_build_object('generation_id', 'g-' || n, 'user_id', 'u'))))
  from generate_series(p_from, p_from + 999) n;
end
$$;
select pg_temp.enqueue(1), pg_temp.enqueue(1001), pg_temp.enqueue(2001), pg_temp.enqueue(501) \g /dev/null
select is((select count(*) from job_queue), 3000::bigint, 'each key has one job');
select cmp_ok(pg_temp.rows_read('image_generations'), '<', 40000::bigint, 'of 4,000 each reads a few generations');
select cmp_ok(pg_temp.rows_read('job_queue'), '<', 40000::bigint, 'and a few jobs');
select * from finish();
rollback;
