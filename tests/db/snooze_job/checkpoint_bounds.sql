-- What is handed out with a claim is bounded as payloads are.
begin;
select plan(7);
insert into job_types (job_type) values ('work');
insert into job_queue (job_type) values ('work');
select id, lease_token from claim_next_job() \gset
create function pg_temp.deep(p_levels int) returns jsonb language sql as
$$ select (repeat('{"a":', p_levels) || '1' || repeat('}', p_levels))::jsonb $$;
select throws_ok(format($$select snooze_job(%L, %L, 0, jsonb_build_object('text', repeat('a', 1048577)))$$, :'id', :'lease_token'),
  '22023', 'p_checkpoint must have at most 1048576 bytes, not 1048589', 'a checkpoint''s bytes');
select throws_ok(format($$select snooze_job(%L, %L, 0, pg_temp.deep(120))$$, :'id', :'lease_token'),
  '22023', 'p_checkpoint must be at most 100 levels deep', 'its depth');
select throws_ok(format($$select snooze_job(%L, %L, 0, jsonb_build_object('text', repeat('a', 200), 'n', 1e308))$$, :'id', :'lease_token'),
  '22023', 'p_checkpoint must have no number of 1e308 or more', 'its numbers');
select throws_ok(format($$select wake_job(%L, pg_temp.deep(120))$$, :'id'), '22023', 'p_event must be at most 100 levels deep', 'an event''s depth');
select throws_ok(format($$select wake_job(%L, '{"n": 1e308}')$$, :'id'), '22023', 'p_event must have no number of 1e308 or more', 'and its numbers');
select is(wake_job(:'id', pg_temp.deep(99)), true, 'what fits is kept');
select is(snooze_job(:'id', :'lease_token', 0, pg_temp.deep(99)), true, 'of both');
select * from finish();
rollback;
