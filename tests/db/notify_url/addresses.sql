-- An operator's address is any of http and https, a user's a public one.
begin;
select plan(32);
insert into job_types (job_type) values ('work');

-- Who gives it.
select lives_ok(format($$select enqueue_job('work', '{}', p_notify_url => %L)$$, a.url), a.url)
from unnest('{http://localhost:3000/hook,http://10.0.0.1/,https://[::1]:9/a?b=c,http://host.docker.internal:54321/x,HTTPS://example.com}'::text[]) a (url);
select throws_ok(format($$select enqueue_job('work', '{}', p_notify_url => %L)$$, a.url), '22023',
  'notify_url must be an http or https address without user and password, such as https://example.com/hook', a.url)
from unnest(array['', 'example.com', 'ftp://example.com/', 'https://', 'https://user@example.com/', 'https://u:p@example.com/',
  'https://a.co\@b.co/', 'https://a.co/ x', E'https://a.co/\n', 'javascript:alert(1)', 'https://exämple.com/', 'https:///a.co']) a (url);
select throws_ok(format($$select enqueue_job('work', '{}', p_notify_url => %L)$$, 'https://a.co/' || repeat('x', 2036)), '22023',
  'notify_url must have at most 2048 characters, not 2049');
select throws_ok($$select enqueue_jobs('[{"job_type": "work", "payload": {}, "notify_url": 1}]')$$, '22023', 'p_jobs[0].notify_url must be a string, not number');
select throws_ok($$update job_types set notify_url = 'https://u@a.co/' where job_type = 'work'$$, '23514');

-- Users: by a function that the app has let them call, or by the app's own grants.
grant execute on function enqueue_job(text, jsonb, int, int, timestamptz, text, text), enqueue_jobs(jsonb) to authenticated;
grant select, insert, update on job_queue to authenticated;
create policy everybody on job_queue to authenticated using (true) with check (true);
update job_types set notify_url = 'http://inside/all' where job_type = 'work';
set local role authenticated;
set local request.jwt.claims = '{"role": "authenticated", "sub": "u1"}';
select throws_ok($$select enqueue_job('work', '{}', p_notify_url => 'http://10.0.0.1/')$$, '22023',
  'notify_url must be an https address with a public host name, without port, such as https://example.com/hook');
select throws_ok($$select enqueue_jobs('[{"job_type": "work", "payload": {}, "notify_url": "https://localhost/"}]')$$, '22023');
select throws_ok($$insert into job_queue (job_type, notify_url, notify_user) values ('work', 'http://10.0.0.1/', null)$$, '22023');
select throws_ok($$insert into job_queue (job_type, notify_url, created_at, updated_at) values ('work', 'http://10.0.0.1/', 'yesterday', 'yesterday')$$, '22023',
  null, 'nor as if it were restored');
select throws_ok($$insert into job_queue (job_type, payload) values ('deliver-webhook', '{"url": "http://10.0.0.1/", "body": {}}')$$, '42501',
  'deliver-webhook jobs are not for users: give a job a notify_url');
select throws_ok($$select enqueue_job('deliver-webhook', '{"url": "https://example.com/", "body": {}}')$$, '42501');
select enqueue_job('work', '{}', p_notify_url => 'https://example.com/hook') as theirs \gset
select enqueue_job('work', '{}') as of_type \gset
select results_eq(
  format($$select notify_url, notify_user from job_queue where id in (%L, %L) order by id$$, :'theirs', :'of_type'),
  $$values ('https://example.com/hook', 'u1'), ('http://inside/all', null)$$, 'the address of the type is the operator''s');
update job_queue set notify_user = 'u2' where id = :'theirs';
select is((select notify_user from job_queue where id = :'theirs'), 'u1', 'what is a user''s stays a user''s');
select throws_ok(format($$update job_queue set notify_url = 'http://10.0.0.1/' where id = %L$$, :'theirs'), '22023');
select throws_ok(format($$update job_queue set status = 'cancelled', notify_user = null where id = %L$$, :'theirs'), '42501',
  'notify_url and notify_user stay as they are when a job ends');
select throws_ok(format($$update job_queue set job_type = 'deliver-webhook' where id = %L$$, :'theirs'), '42501');
-- A user's call that ends a job of the operator's tells its address.
update job_queue set status = 'cancelled' where id in (:'theirs', :'of_type');
reset role;
set local request.jwt.claims = '';
select results_eq(
  $$select payload ->> 'url', payload ->> 'user_id' from job_queue where job_type = 'deliver-webhook' order by 1$$,
  $$values ('http://inside/all', null), ('https://example.com/hook', 'u1')$$, 'the delivery knows whose the address is');

select * from finish();
rollback;
