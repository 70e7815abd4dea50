begin;
select plan(12);
insert into user_limits (applies_to, max_per_day, max_open) values ('all', 4, 1);
set local request.jwt.claims = '{"role": "authenticated", "sub": "user-1"}';
select request_generation('a fox', 'a/b') ->> 'id' as mine \gset
select is(retry_generation(:'mine'), false, 'one under way');
update job_queue set status = 'failed', error_message = 'no';
set local request.jwt.claims = '{"role": "authenticated", "sub": "user-2"}';
select is(retry_generation(:'mine'), false, 'somebody else''s');
select is(retry_generation('none'), false, 'is as one that does not exist');
set local request.jwt.claims = '{"role": "authenticated", "sub": "user-1"}';
select is(retry_generation(:'mine'), true, 'one''s own');
select is((select status || ' ' || life from job_queue), 'pending 2', 'has a new life');
select is(my_limits() -> 'used', '{"open": 1, "day": 2, "cost": 0}', 'it counts as a request');
update job_queue set status = 'cancelled', completed_at = now();
select request_generation('a dog', 'a/b') ->> 'id' as other \gset
select throws_ok(format('select retry_generation(%L)', :'mine'), 'PT429', '1 of your 1 generations at once are under way: ask again when one has ended', 'and is held to what is under way');
update job_queue set status = 'completed', completed_at = now() where payload ->> 'generation_id' = :'other';
select is(retry_generation(:'other'), false, 'one that is completed');
update user_limits set allowed_models = '{c/d}';
select throws_like(format('select retry_generation(%L)', :'mine'), 'p_model_id: a/b is not %', 'to the models of now');
update user_limits set allowed_models = null;
select is(retry_generation(:'mine'), true, 'the last of the day');
update job_queue set status = 'failed', error_message = 'no' where payload ->> 'generation_id' = :'mine';
select throws_like(format('select retry_generation(%L)', :'mine'), '4 of your 4 requests in 24 hours are used%', 'to the day''s');
-- What a user may not ask for, and an operator has given, stays given.
update user_limits set max_per_day = null;
update job_queue set priority = 99 where payload ->> 'generation_id' = :'mine';
select is(retry_generation(:'mine'), true, 'but not to a priority that it has already');
select * from finish();
rollback;
