-- Pages that each function reads which is about one job, counted by the server: among 60,000 jobs,
-- 30,000 generations and pictures about as many as alone, though the statistics, and the plans, are of when all was empty.
-- (Emptied, so that its files have none of what other tests have left.)
begin;
truncate job_queue;
select plan(32);
insert into job_types (job_type) values ('work');
analyze job_queue, process_jobs.job_troubles, image_generations, images, job_types;
create function pg_temp.pages_read(p_query text) returns int language plpgsql as $$
declare
  v_plan json;
begin
  execute 'explain (analyze, buffers, costs off, timing off, format json) ' || p_query into v_plan;
  return (v_plan #>> '{0,Plan,Shared Hit Blocks}')::int + (v_plan #>> '{0,Plan,Shared Read Blocks}')::int;
end
$$;
create function pg_temp.token(p_id uuid) returns uuid language sql as 'select lease_token from job_queue where id = p_id';
-- Each call twice: the first of a session plans, and reads the catalogues.
create function pg_temp.calls(p_round int, out what text, out pages int) returns setof record language plpgsql as $$
declare
  v_generation text := format('{"generation_id": "mine-%s", "user_id": "u"}', p_round);
  v_id uuid;
  v_call record;
begin
  for v_call in
    select * from (values
      ('enqueue', $q$enqueue_job('generate-image', %2$L, p_unique_key => %3$L, p_priority => 9)$q$),
      ('enqueue of a key that is taken', $q$enqueue_job('generate-image', %2$L, p_unique_key => %3$L)$q$),
      ('claim', $q$claim_next_job()$q$),
      ('heartbeat', $q$heartbeat_job(%1$L, pg_temp.token(%1$L))$q$),
      ('wake', $q$wake_job(%1$L, '{"a": 1}')$q$),
      ('snooze', $q$snooze_job(%1$L, pg_temp.token(%1$L), 0, '{"prediction_id": "p"}')$q$),
      ('claim again', $q$claim_next_job()$q$),
      ('cancel', $q$cancel_job(%1$L)$q$),
      ('failure', $q$complete_job(%1$L, p_error => 'no', p_lease_token => pg_temp.token(%1$L), p_retry => 'never')$q$),
      ('retry', $q$retry_job(%1$L)$q$),
      ('claim of the new life', $q$claim_next_job()$q$),
      ('completion without a token', $q$complete_job(%1$L, '{"prediction_id": "p"}')$q$),
      ('enqueue of a download', $q$enqueue_job('download-image', %2$L, 9)$q$),
      ('claim of the download', $q$claim_next_job()$q$),
      ('completion with a picture', $q$complete_job(%1$L, '{"storage_path": "u/a.png", "filename": "a.png"}', p_lease_token => pg_temp.token(%1$L))$q$)
    ) c (what, sql)
  loop
    what := v_call.what;
    pages := pg_temp.pages_read(format('select ' || v_call.sql, v_id, v_generation, 'mine-' || p_round));
    if v_call.what in ('enqueue', 'enqueue of a download') then
      select id into v_id from job_queue where payload = v_generation::jsonb order by job_type limit 1;
    end if;
    return next;
  end loop;
end
$$;
create temp table first as select * from pg_temp.calls(1);
create temp table alone as select * from pg_temp.calls(2);
insert into job_queue (job_type, payload, unique_key)
select 'generate-image', jsonb_build_object('generation_id', 'g-' || n, 'user_id', 'u'), 'k-' || n from generate_series(1, 30000) n;
insert into job_queue (job_type, status, completed_at) select 'work', 'failed', now() from generate_series(1, 30000);
insert into images (generation_id, user_id, filename, storage_path) select 'g-' || n, 'u', 'a.png', 'x' from generate_series(1, 30000) n;
create temp table among as select * from pg_temp.calls(3);
select cmp_ok(among.pages, '<', 2 * alone.pages + 100, format('%s: %s alone', what, alone.pages)) from among join alone using (what);

update pg_class set reltuples = 0, relpages = pg_relation_size(oid) / 8192
where oid = any (array['job_queue', 'image_generations', 'images']::regclass[])
  or oid in (select indexrelid from pg_index where indrelid = any (array['job_queue', 'image_generations', 'images']::regclass[]));
create temp table planned_anew as select * from pg_temp.calls(4);
create temp table misled as select * from pg_temp.calls(5);
select cmp_ok(misled.pages, '<', 2 * alone.pages + 100, format('%s, planned when all was taken for empty', what)) from misled join alone using (what);
select is((select count(*) from image_generations where status = 'completed'), 5::bigint, 'each of the calls did what it does');
select is((select count(*) from images where generation_id like 'mine-%'), 5::bigint, 'up to the picture');
select * from finish();
rollback;
