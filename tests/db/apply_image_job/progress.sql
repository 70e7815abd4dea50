-- A generation's progress: never back within a life, written with five points or a change of status, 100 at its end.
begin;
select plan(33);
create function pg_temp.seen() returns text language sql as $$ select status || ' ' || progress from image_generations where id = 'g-1' $$;
create function pg_temp.version() returns text language sql as $$ select xmin || ' ' || ctid from image_generations where id = 'g-1' $$;
-- A look at the prediction whose log tells p_progress, at a job of that age.
create function pg_temp.look(p_progress int, p_age interval default '0') returns text language plpgsql as $$
begin
  update job_queue set started_at = now() - p_age, scheduled_at = now() where status = 'pending';
  perform snooze_job(c.id, c.lease_token, 0, '{"prediction_id": "p-1"}', p_progress) from claim_next_job('{generate-image,download-image}') c;
  return pg_temp.seen();
end
$$;
\set payload '{"generation_id": "g-1", "user_id": "u-1", "prompt": "a cat", "model_id": "owner/model"}'

select enqueue_job('generate-image', :'payload') as id \gset
select is(pg_temp.seen(), 'queued 0', 'a life begins at 0');
select is(pg_temp.look(null), 'processing 0', 'a look that tells nothing, of a model that nobody knows');
select pg_temp.version() as version \gset
select is(pg_temp.look(5), 'processing 0', 'four points');
select is(pg_temp.version(), :'version', 'are not written');
select is(pg_temp.look(6), 'processing 5', 'five are; the log has nine tenths of the whole');
select is(pg_temp.look(50), 'processing 45', 'half of the log');
select pg_temp.version() as version \gset
select is(pg_temp.look(20), 'processing 45', 'a log that begins anew takes nothing back');
select is(pg_temp.look(null), 'processing 45', 'nor does one that tells nothing');
select is(pg_temp.look(55), 'processing 45', 'nor are four points written now');
select is(pg_temp.version(), :'version', 'and no row version was made');
select is(pg_temp.look(100), 'processing 90', 'the whole log is nine tenths');

-- Attempts of one life.
update job_queue set scheduled_at = now();
select complete_job(id, p_error => 'replicate answered 503', p_lease_token => lease_token) from claim_next_job('{generate-image,download-image}');
select is(pg_temp.seen(), 'processing 90', 'an error that is tried again takes nothing back');
update job_queue set scheduled_at = now(), progress = null;
select complete_job(id, p_error => 'nsfw', p_lease_token => lease_token, p_retry => 'never') from claim_next_job('{generate-image,download-image}');
select is(pg_temp.seen(), 'failed 90', 'a failed one stays where it was');
select retry_job(:'id');
select is(pg_temp.seen(), 'queued 0', 'a retry begins anew');
select is(pg_temp.look(30), 'processing 27', 'and goes on from there');
select cancel_job(:'id');
select cancel_job(id, lease_token) from claim_next_job('{generate-image,download-image}');
select is(pg_temp.seen(), 'cancelled 27', 'a cancelled one stays where it was');

-- Its usual time.
select is((select count(*) from process_jobs.model_times), 0::bigint, 'no prediction has told a time');
select process_jobs.note_model_time('owner/model', 20) from generate_series(1, 11);
select process_jobs.note_model_time('owner/model', 300) from generate_series(1, 10);
select results_eq('select seconds, cardinality(recent) from process_jobs.model_times', $$values (20::double precision, 21)$$,
  'the usual time is a median: ten cold starts do not move it');
select process_jobs.note_model_time('owner/model', 10) from generate_series(1, 11);
select results_eq('select seconds, cardinality(recent) from process_jobs.model_times', $$values (10::double precision, 21)$$,
  'and follows a model that has become faster');
select process_jobs.note_model_time(m, s) from (values ('owner/model', 0), ('owner/model', null), (null, 1), ('', 1), (repeat('x', 301), 1)) v (m, s);
select is((select count(*) from process_jobs.model_times where seconds = 10), 1::bigint, 'what is no time of a model does not count');
select enqueue_job('generate-image', :'payload') as id \gset
select is(pg_temp.look(null, '5 seconds'), 'processing 45', 'half of the usual time is half of the model''s part');
select is(pg_temp.look(10, '6 seconds'), 'processing 45', 'a log that is behind does not fight with it');
select is(pg_temp.look(null, '1 hour'), 'processing 45', 'and once it has told, only the log counts');
select is(pg_temp.look(60, '1 hour'), 'processing 54', 'when it has come further');
update job_queue set progress = null where id = :'id';
select is(pg_temp.look(null, '1 hour'), 'processing 90', 'a usual time that is over is all of the model''s part');

-- The download.
update job_queue set scheduled_at = now();
select complete_job(id, '{"prediction_id": "p-1", "predict_seconds": 7.5}', p_lease_token => lease_token,
  p_follow_ups => jsonb_build_array(jsonb_build_object('job_type', 'download-image', 'payload', :'payload'::jsonb)))
from claim_next_job('{generate-image}');
select is(pg_temp.seen(), 'downloading 90', 'generated');
select is((select recent[1] from process_jobs.model_times), 7.5::double precision, 'its time is counted');
select snooze_job(id, lease_token, 0, '{"stored": []}', 50) from claim_next_job('{generate-image,download-image}');
select is(pg_temp.seen(), 'downloading 90', 'half of its pictures: four points');
select snooze_job(id, lease_token, 0, '{"stored": []}', 99) from claim_next_job('{generate-image,download-image}');
select is(pg_temp.seen(), 'downloading 98', 'nearly all');
select heartbeat_job(id, lease_token, null, 100) from claim_next_job('{generate-image,download-image}');
select pg_temp.version() as version \gset
update job_queue set progress = 1 where job_type = 'generate-image' and status = 'completed';
select is(pg_temp.version(), :'version', 'a job that has ended tells no progress');
select complete_job(id, '{"storage_path": "u-1/g-1.png", "filename": "g-1.png"}', p_lease_token => lease_token) from job_queue where status = 'processing';
select is(pg_temp.seen(), 'completed 100', 'stored');
select is((select count(*) from generation_progress), 0::bigint, 'nothing is kept beside a table that has the column');
select throws_ok($$update image_generations set progress = 101$$, '23514', null, 'a progress is of a hundred');

select * from finish();
rollback;
