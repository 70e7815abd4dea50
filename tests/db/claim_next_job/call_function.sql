-- The jobs of a type whose row names a function: claimed by workers that can call one, and by no others.
begin;
select plan(27);
insert into job_types (job_type, call_function, call_timeout_seconds) values ('mail', 'send-mail', 30);
insert into job_types (job_type) values ('work');
select enqueue_job('mail', '{"to": "a"}', 5) as mail \gset
select enqueue_job('work', '{}') as work \gset

select is((select handler from job_types where job_type = 'mail'), 'call_function', 'a type that names a function has that handler');
select is((select handler from job_types where job_type = 'work'), 'work', 'any other its own');
select is_empty($$select from claim_next_job('{mail}', 10)$$, 'a worker that has a handler for the type alone gets no job of it');
select is(seconds_until_next_job('{mail}'), null, 'and is told that none waits');
select is(seconds_until_next_job('{mail,call_function}'), 0::double precision, 'one that can call functions is told of it');
select results_eq(
  $$select job_type, call_function, call_timeout_seconds, lease_seconds from claim_next_job('{work}', 10)$$,
  $$values ('work', null::text, null::int, 60)$$, 'an older worker gets its own');
select results_eq(
  $$select job_type, call_function, call_timeout_seconds from claim_next_job('{work,call_function}', 10)$$,
  $$values ('mail', 'send-mail', 30)$$, 'a newer one what is to be called, with the function''s name');

-- The same by exchange_jobs.
select enqueue_job('mail', '{}') from generate_series(1, 2);
select enqueue_job('work', '{}');
select is(jsonb_path_query_array(exchange_jobs('[]', '{work}', 10)::jsonb, '$.jobs[*].job_type'), '["work"]', 'an exchange of an older worker');
select results_eq(
  $$select j ->> 'call_function', j -> 'call_timeout_seconds', j ->> 'job_type' from jsonb_array_elements(exchange_jobs('[]', '{call_function}', 1)::jsonb -> 'jobs') j$$,
  $$values ('send-mail', '30'::jsonb, 'mail')$$, 'an exchange of a newer one');
update job_types set call_timeout_seconds = null where job_type = 'mail';
select is(jsonb_path_query_array(exchange_jobs('[]', '{call_function}', 1)::jsonb, '$.jobs[*].call_timeout_seconds'), '[null]', 'without a time-out of its own');
select enqueue_job('work', '{}');
select is(exchange_jobs('[]', '{work}', 1)::jsonb #> '{jobs,0}' ? 'call_function', false, 'other jobs are told as before');

-- Limits are read for it as for every type.
update job_types set starts_per_minute = 10 where job_type = 'mail';
select enqueue_job('mail', '{}') from generate_series(1, 3);
select is((select count(*) from claim_next_job('{call_function}', 10)), 1::bigint, 'starts_per_minute');
select cmp_ok(seconds_until_next_job('{call_function}'), '>', 1::double precision, 'the next start is waited for');
update job_types set starts_per_minute = null where job_type = 'mail';
select pause_job_type('mail', 'x');
select is_empty($$select from claim_next_job('{call_function}', 10)$$, 'a pause');
select resume_job_type('mail');
update job_types set held_until = now() + interval '1 minute' where job_type = 'mail';
select is_empty($$select from claim_next_job('{call_function}', 10)$$, 'a hold');
update job_types set held_until = null where job_type = 'mail';

-- A type comes to name a function, or no longer does, while its jobs wait.
update job_types set call_function = null where job_type = 'mail';
select is((select count(*) from claim_next_job('{mail}', 1)), 1::bigint, 'without a function the worker''s own handler is asked for');
update job_types set call_function = 'other_Function2' where job_type = 'mail';
select is((select call_function from claim_next_job('{call_function}', 1)), 'other_Function2', 'the name is that of the time of the claim');

-- With every type, as by hand.
select enqueue_job('mail', '{}', 9);
select is((select call_function from claim_next_job()), 'other_Function2', 'a claim of all types');

select throws_ok(format('update job_types set call_function = %L where job_type = ''mail''', n.name), '23514', null, 'no name: ' || n.name)
from unnest('{"",../auth,a/b,1a,-a,a?b,"a b"}'::text[]) n (name);
select throws_ok($$update job_types set call_function = 'process-jobs' where job_type = 'mail'$$, '23514',
  'new row for relation "job_types" violates check constraint "job_types_call_function_is_another"', 'the worker calls another function');
select throws_ok($$update job_types set call_timeout_seconds = 0 where job_type = 'mail'$$, '23514',
  'new row for relation "job_types" violates check constraint "job_types_call_timeout_is_bounded"', 'a time-out is a time');
select * from finish();
rollback;
