-- A user's notify_url: a public https address, theirs, and told of the picture's end.
begin;
select plan(5);
insert into user_limits (applies_to) values ('all');
set local request.jwt.claims = '{"role": "authenticated", "sub": "user-1"}';
select request_generation('x', 'a/b', '{"notify_url": "https://example.com/hook", "idempotency_key": "k"}') ->> 'id' as id \gset
select is((select notify_url || ' ' || notify_user from job_queue), 'https://example.com/hook user-1', 'the job has it, and whose it is');
select throws_ok($$select request_generation('x', 'a/b', '{"notify_url": "https://example.com/other", "idempotency_key": "k"}')$$,
  'PT409', 'idempotency_key: "k" was used for another request', 'another address is another request');
select throws_ok(format('select request_generation(%L, %L, %L)', 'x', 'a/b', jsonb_build_object('notify_url', url)), '22023', null, url)
from unnest('{http://example.com/hook,https://127.0.0.1/hook}'::text[]) url;
select cancel_generation(:'id') \g /dev/null
select is((select payload ->> 'url' from job_queue where job_type = 'deliver-webhook'), 'https://example.com/hook', 'its end is told');
select * from finish();
rollback;
