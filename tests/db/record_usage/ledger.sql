begin;
select plan(19);
insert into job_types (job_type) values ('work');
insert into model_prices (model, per_second, per_image) values ('o/by-second', 0.001, null), ('o/by-both', 0.001, 0.02), ('o/free', null, null);
create function pg_temp.job(p_user text default 'u-1') returns uuid language sql as $$
  select enqueue_job('work', jsonb_build_object('user_id', p_user), p_max_attempts => 100) $$;
create function pg_temp.token(p_id uuid) returns uuid language sql as $$
  select lease_token from claim_next_job('{work}', 100) c where c.id = p_id $$;

-- By each outcome.
select pg_temp.job() as id \gset
select pg_temp.token(:'id') as token \gset
select is(
  snooze_job(:'id', :'token', 0, p_usage => '[{"id": "p1", "status": "failed", "model": "o/by-second", "predict_seconds": 2.5, "images": 0}]'),
  true, 'parked, with a prediction that failed before');
select pg_temp.token(:'id') as token \gset
select complete_job(:'id', p_error => 'no', p_lease_token => :'token', p_usage => '[{"id": "p2", "status": "canceled", "images": 0}]');
update job_queue set scheduled_at = now() where id = :'id';
select pg_temp.token(:'id') as token \gset
select cancel_job(:'id', :'token', '[{"id": "p3", "status": "aborted", "model": "o/by-second", "images": 0}]');
select pg_temp.job('u-2') as other \gset
select pg_temp.token(:'other') as token \gset
select exchange_jobs(jsonb_build_array(jsonb_build_object('outcome', 'completed', 'job_id', :'other', 'lease_token', :'token',
  'usage', '[{"id": "p4", "status": "succeeded", "model": "O/By-Both:0123abc", "predict_seconds": 3, "images": 2},
    {"id": "p5", "status": "succeeded", "model": "o/by-both", "predict_seconds": 3},
    {"id": "p6", "status": "succeeded", "model": "o/free", "predict_seconds": 3, "images": 1}]'::jsonb)));
select results_eq(
  'select id, user_id, model, status, predict_seconds, images, cost from usage_ledger order by id',
  $$values
    ('p1', 'u-1', 'o/by-second', 'failed', 2.5::double precision, 0, 0.0025),
    ('p2', 'u-1', null, 'canceled', null, 0, null),
    ('p3', 'u-1', 'o/by-second', 'aborted', null, 0, 0),
    ('p4', 'u-2', 'o/by-both', 'succeeded', 3, 2, 0.043),
    ('p5', 'u-2', 'o/by-both', 'succeeded', 3, null, null),
    ('p6', 'u-2', 'o/free', 'succeeded', 3, 1, null)$$,
  'parked, failed, cancelled and completed: each prediction has its row, with its cost where that is known');
select is((select array_agg(distinct job_id) from usage_ledger where user_id = 'u-2'), array[:'other'::uuid], 'and its job');

-- Once.
select is(
  complete_job(:'other', '{}', p_lease_token => :'token', p_usage => '[{"id": "p4", "status": "failed", "images": 0}, {"id": "p7", "status": "succeeded", "model": "black-forest-labs/flux-schnell", "predict_seconds": 1, "images": 3}]'),
  false, 'an outcome that comes too late is not recorded');
select results_eq($$select id, status, cost from usage_ledger where id in ('p4', 'p7') order by id$$,
  $$values ('p4', 'succeeded', 0.043), ('p7', 'succeeded', 0.009)$$, 'what has ended is, once, at Replicate''s published price');
select is(wake_job(:'other', '{"id": "p8"}', 1, '[{"id": "p8", "status": "succeeded", "images": 1}]'), false, 'nor is an ended job woken');
select is((select user_id from usage_ledger where id = 'p8'), 'u-2', 'what its event tells is recorded');
select is(wake_job(gen_random_uuid(), '{"id": "p9"}', 1, '[{"id": "p9", "status": "failed", "images": 0}]'), false, 'nor one that is gone');
select is((select count(*) from usage_ledger where id = 'p9' and user_id is null), 1::bigint, 'what it used belongs to nobody');
update model_prices set per_second = 1 where model = 'o/by-second';
select is((select cost from usage_ledger where id = 'p1'), 0.0025, 'a new price changes nothing that is recorded');

-- Out of bounds: the outcome is refused with all that it carries.
select pg_temp.job() as id \gset
select pg_temp.token(:'id') as token \gset
create temp table refused (usage jsonb, message text);
insert into refused values
  ('{}', 'p_usage must be a json array of objects'), ('null', 'p_usage must be a json array of objects'),
  ('[1]', 'p_usage must be a json array of objects'),
  ('[{"status": "failed"}]', 'p_usage: id must have 1 to 200 characters'),
  (jsonb_build_array(jsonb_build_object('id', repeat('x', 201), 'status', 'failed')), 'p_usage: id must have 1 to 200 characters'),
  ('[{"id": "x", "status": "running"}]', 'p_usage: status must be succeeded, failed, canceled or aborted, not ''running'''),
  ('[{"id": "x"}]', 'p_usage: status must be succeeded, failed, canceled or aborted, not null'),
  ('[{"id": "x", "status": "failed", "predict_seconds": "NaN"}]', 'p_usage: predict_seconds must be between 0 and 1000000, not NaN'),
  ('[{"id": "x", "status": "failed", "predict_seconds": -1}]', 'p_usage: predict_seconds must be between 0 and 1000000, not -1'),
  ('[{"id": "x", "status": "failed", "images": 1001}]', 'p_usage: images must be between 0 and 1000, not 1001'),
  ('[{"id": "x", "status": "failed", "images": 0.5}]', 'invalid input syntax for type integer: "0.5"'),
  (jsonb_build_array(jsonb_build_object('id', 'x', 'status', 'failed', 'model', repeat('x', 301))), 'p_usage: model must have at most 300 characters');
select is_empty(
  format($$
    select r.usage, a.settled, r.message
    from refused r, lateral (select exchange_jobs(jsonb_build_array(jsonb_build_object('outcome', 'completed', 'job_id', %L, 'lease_token', %L, 'usage', r.usage))) -> 'settled' ->> 0) a (settled)
    where a.settled is distinct from r.message$$, :'id', :'token'),
  'a usage out of bounds is refused, with a sentence');
select is((select status from job_queue where id = :'id'), 'processing', 'the job with it');
select throws_ok(format($$select wake_job(%L, '{}', p_usage => '[{"id": ""}]')$$, :'id'), '22023', null, 'an event too');

-- Views.
select results_eq(
  'select month, user_id, predictions, images, predict_seconds, cost, unpriced from costs_by_user order by user_id nulls last',
  $$values
    (date_trunc('month', now() at time zone 'UTC')::date, 'u-1', 3::bigint, 0::bigint, 2.5::double precision, 0.0025, 1::bigint),
    (date_trunc('month', now() at time zone 'UTC')::date, 'u-2', 5, 7, 10, 0.052, 3),
    (date_trunc('month', now() at time zone 'UTC')::date, null, 1, 0, 0, 0, 1)$$,
  'what each user has used in a month; what has no price counts as 0, and is shown');
select results_eq(
  'select model, predictions, cost, unpriced from costs_by_model where model is not null order by model',
  $$values ('black-forest-labs/flux-schnell', 1::bigint, 0.009, 0::bigint), ('o/by-both', 2, 0.043, 1), ('o/by-second', 2, 0.0025, 0), ('o/free', 1, 0, 1)$$,
  'and each model');

select throws_ok($$insert into model_prices (model, per_image) values ('o/x', 'NaN')$$, '23514', null, 'a price is a number');
select throws_ok($$insert into model_prices (model, per_image) values ('o/x', -1)$$, '23514', null, 'not below 0');
select throws_ok($$insert into model_prices (model, per_image) values ('o/x:123', 1)$$, '23514', null, 'of a model, not of a version');
\ir ../../../supabase/schemas/costs/model_prices.sql
update model_prices set per_image = 7 where model = 'black-forest-labs/flux-dev';
\ir ../../../supabase/schemas/costs/model_prices.sql
select is((select per_image from model_prices where model = 'black-forest-labs/flux-dev'), 7::numeric, 'an upgrade keeps the operator''s price');
select * from finish();
rollback;
