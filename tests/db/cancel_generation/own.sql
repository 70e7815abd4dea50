begin;
select plan(10);
insert into user_limits (applies_to) values ('all');
set local request.jwt.claims = '{"role": "authenticated", "sub": "user-1"}';
select request_generation('a fox', 'a/b') ->> 'id' as mine \gset
set local request.jwt.claims = '{"role": "authenticated", "sub": "user-2"}';
select is(cancel_generation(:'mine'), false, 'somebody else''s');
select is(cancel_generation('none'), false, 'is as one that does not exist');
select is((select status from image_generations), 'queued', 'and goes on');
set local request.jwt.claims = '{"role": "authenticated", "sub": "user-1"}';
select is(cancel_generation(:'mine'), true, 'one''s own');
select is((select status from image_generations), 'cancelled', 'is cancelled');
select is(cancel_generation(:'mine'), false, 'once');
select is(cancel_generation(null), false, 'null is none');

-- One that is at work: it is ended first, and so long it is under way.
select request_generation('a fox', 'a/b') ->> 'id' as running \gset
select count(*) from claim_next_job() \gset
select is(cancel_generation(:'running'), true, 'one at work is on its way');
select is(cancel_generation(:'running'), true, 'and stays so');
select is(my_limits() -> 'used' ->> 'open', '1', 'until it is ended, it counts');
select * from finish();
rollback;
