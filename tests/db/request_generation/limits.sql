begin;
select plan(35);
set local request.jwt.claims = '{"role": "authenticated", "sub": "user-1", "app_metadata": {"plan": "pro"}, "user_metadata": {"plan": "gold"}}';

-- Of each column the most specific row counts.
insert into user_limits (applies_to, allowed_models, max_pixels, max_priority, max_open) values ('all', '{a/b}', 100, 1, 2);
insert into user_limits (applies_to, max_pixels, max_priority) values ('plan:pro', 200, 2), ('plan:gold', 900, 9);
insert into user_limits (applies_to, max_priority, max_outputs) values ('user:user-1', 3, 4), ('user:user-2', 9, 9);
select is((select (l.max_priority, l.max_outputs, l.max_pixels, l.max_open, l.allowed_models)::text from process_jobs.limits_of('user-1') l),
  '(3,4,200,2,{a/b})', 'the user''s, then the plan''s, then that of all');
delete from user_limits where applies_to in ('all', 'plan:pro');
select is((select (l.max_priority, l.max_pixels)::text from process_jobs.limits_of('user-1') l), '(3,)', 'user_metadata is no plan');
delete from user_limits;
insert into user_limits (applies_to) values ('plan:basic'), ('user:user-2');
select throws_like($$select request_generation('x', 'a/b')$$, 'requests are not open to you%', 'rows of others open nothing');
delete from user_limits;
insert into user_limits (applies_to) values ('all');
select lives_ok($$select request_generation('x', 'a/b', '{"width": 16384, "height": 16384, "num_outputs": 10}')$$, 'a row without limits has none');
select throws_like($$select request_generation('x', 'a/b', '{"priority": 1}')$$, 'priority: 1 is more than the 0 %', 'but that of priority');
select lives_ok($$select request_generation('x', 'a/b', '{"priority": -100}')$$, 'which may be lower');
select throws_ok($$insert into user_limits (applies_to) values ('everybody')$$, '23514', null, 'a row is for all, a plan or a user');
select throws_ok($$insert into user_limits (applies_to) values ('plan:')$$, '23514');
select throws_ok($$update user_limits set max_open = -1$$, '23514', null, 'limits are not negative');
select throws_ok($$update user_limits set over_budget = 'wait'$$, '23514');

-- Models, exactly as they are listed.
update user_limits set allowed_models = array['a/b', 'c/d:' || repeat('1', 64)];
select lives_ok($$select request_generation('x', 'a/b')$$, 'one that is listed');
select lives_ok(format($$select request_generation('x', 'c/d:%s')$$, repeat('1', 64)), 'with its version');
select throws_like(format($$select request_generation('x', 'a/b:%s')$$, repeat('1', 64)), 'p_model_id: a/b:1% is not among the models that you may use: a/b, c/d:1%', 'a version that is not listed');
select throws_like(format($$select request_generation('x', '%s')$$, repeat('1', 64)), 'p_model_id: %', 'a version alone');
select throws_like($$select request_generation('x', 'c/d')$$, 'p_model_id: c/d is not %', 'a name whose version is listed');
select throws_like($$select request_generation('x', 'A/b')$$, 'p_model_id: A/b is not %', 'another spelling');
update user_limits set allowed_models = '{}';
select throws_like($$select request_generation('x', 'a/b')$$, '%that you may use: none', 'an empty list allows none');
update user_limits set allowed_models = null, max_pixels = 1048576, max_outputs = 1;

-- Sizes and numbers.
select lives_ok($$select request_generation('x', 'a/b', '{"width": 2048, "height": 512}')$$, 'the product counts');
select throws_like($$select request_generation('x', 'a/b', '{"width": 1025}')$$, 'width x height: 1049600 pixels are more than the 1048576 %', 'a side not asked for counts as 1024');
update user_limits set max_pixels = 262144;
select throws_ok($$select request_generation('x', 'a/b')$$, 'PT403', null, 'as both do');
select throws_like($$select request_generation('x', 'a/b', '{"width": 9, "height": 9, "num_outputs": 2}')$$, 'num_outputs: 2 are more than the 1 %', 'outputs');
update user_limits set max_pixels = null;

-- At once. What has ended, by whomever, counts no more; what is brought back does.
delete from job_queue;
update user_limits set max_open = 2;
select is(my_limits() -> 'used' ->> 'open', '0', 'jobs that were deleted are not under way');
select request_generation('x', 'a/b') ->> 'id' as one \gset
select request_generation('x', 'a/b') ->> 'id' as two \gset
select throws_ok($$select request_generation('x', 'a/b')$$, 'PT429', '2 of your 2 generations at once are under way: ask again when one has ended', 'two at once');
set local request.jwt.claims = '{"role": "authenticated", "sub": "user-2"}';
select lives_ok($$select request_generation('x', 'a/b')$$, 'another user''s are apart');
set local request.jwt.claims = '{"role": "authenticated", "sub": "user-1"}';
update job_queue set status = 'failed', error_message = 'by hand' where payload ->> 'generation_id' = :'one';
select is(my_limits() -> 'left' ->> 'open', '1', 'one has failed by hand');
select lives_ok($$select request_generation('x', 'a/b')$$, 'so there is room');
select isnt((select ended_at from process_jobs.requests where generation_id = :'one'), null, 'which is kept');
select retry_job(id) from job_queue where payload ->> 'generation_id' = :'one';
select is(my_limits() -> 'used' ->> 'open', '3', 'brought back by an operator, it counts again');
update image_generations set status = 'failed' where id in (:'one', :'two');
select is(my_limits() -> 'used' ->> 'open', '1', 'the app ends two, which no worker has touched');

-- In a day.
update user_limits set max_open = null, max_per_day = 3;
delete from process_jobs.requests;
insert into process_jobs.requests (user_id, generation_id, created_at)
select 'user-1', 'g-' || n, now() - n * interval '7 hours' from generate_series(1, 4) n;
insert into process_jobs.requests (user_id, generation_id) select 'user-2', 'h-' || n from generate_series(1, 9) n;
select throws_ok($$select request_generation('x', 'a/b')$$, 'PT429',
  format('3 of your 3 requests in 24 hours are used: the next is possible at %s', to_char((now() + interval '3 hours') at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')),
  'the sentence tells when');
select is((my_limits() ->> 'until')::timestamptz, now() + interval '3 hours', 'and my_limits');
update user_limits set max_per_day = 2;
select is((my_limits() ->> 'until')::timestamptz, now() + interval '10 hours', 'under a lower limit later');
update user_limits set max_per_day = 4;
select lives_ok($$select request_generation('x', 'a/b')$$, 'one is left');
select is(my_limits() - 'limits', '{"used": {"open": 1, "day": 4, "cost": 0}, "left": {"open": null, "day": 0, "cost": null}, "until": null}'::jsonb || jsonb_build_object('until', now() + interval '3 hours'), 'none is left');
update user_limits set max_per_day = 0;
select throws_ok($$select request_generation('x', 'a/b')$$, 'PT403', 'requests are closed to you: max_open or max_per_day is 0', 'a limit of 0 closes');
select * from finish();
rollback;
