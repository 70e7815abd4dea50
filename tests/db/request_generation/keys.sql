begin;
select plan(11);
insert into user_limits (applies_to, max_per_day) values ('all', 2);
set local request.jwt.claims = '{"role": "authenticated", "sub": "user-1"}';
select request_generation('a fox', 'a/b', '{"idempotency_key": "k", "width": 512}') ->> 'id' as first \gset
select is(request_generation('a fox', 'a/b', '{"width": 512.0, "seed": null, "idempotency_key": "k"}') ->> 'id', :'first', 'the same request is the same generation');
select is((select count(*) from job_queue), 1::bigint, 'and nothing new');
select throws_ok($$select request_generation('a fox', 'a/b', '{"idempotency_key": "k", "width": 513}')$$, 'PT409', 'idempotency_key: "k" was used for another request', 'another request');
select throws_ok($$select request_generation('a dog', 'a/b', '{"idempotency_key": "k", "width": 512}')$$, 'PT409');
select throws_ok($$select request_generation('a fox', 'a/c', '{"idempotency_key": "k", "width": 512}')$$, 'PT409');
select throws_ok($$select request_generation('a fox', 'a/b', '{"idempotency_key": "k", "width": 512, "priority": -1}')$$, 'PT409');
select isnt(request_generation('a fox', 'a/b', '{"idempotency_key": "k2", "width": 512}') ->> 'id', :'first', 'another key is another generation');
select is(request_generation('a fox', 'a/b', '{"idempotency_key": "k", "width": 512}') ->> 'id', :'first', 'a repetition needs no room under the limits');
delete from user_limits;
update job_queue set status = 'failed';
select is(request_generation('a fox', 'a/b', '{"idempotency_key": "k", "width": 512}') - '{created_at,updated_at}'::text[]
    @> jsonb_build_object('id', :'first', 'status', 'failed'), true, 'nor any limits, and tells how it stands now');
insert into user_limits (applies_to) values ('all');
set local request.jwt.claims = '{"role": "authenticated", "sub": "user-2"}';
select isnt(request_generation('a fox', 'a/b', '{"idempotency_key": "k", "width": 512}') ->> 'id', :'first', 'keys of two users are apart');
select throws_ok($$select request_generation('x', 'a/b', jsonb_build_object('idempotency_key', e'k\r\nSet-Cookie: a=\u72d0')) , request_generation('y', 'a/b', jsonb_build_object('idempotency_key', e'k\r\nSet-Cookie: a=\u72d0'))$$,
  'PT409', 'idempotency_key: "k\r\nSet-Cookie: a=?" was used for another request', 'a key in a status line is one line of ASCII');
select * from finish();
rollback;
