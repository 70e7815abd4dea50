-- One odd number of one type would stop every claim: it is kept out.
begin;
select plan(19);
insert into job_types (job_type, starts_per_minute) values ('work', 1000000);
select throws_ok(format('update job_types set %I = %L where job_type = ''work''', c.name, c.value), '23514', null, c.name || ' ' || c.value)
from (values
  ('starts_per_minute', 'infinity'), ('starts_per_minute', 'NaN'), ('starts_per_minute', '1e300'), ('starts_per_minute', '0'),
  ('start_tokens', 'infinity'), ('start_tokens', '-infinity'), ('start_tokens', 'NaN'),
  ('start_tokens_at', 'infinity'), ('start_tokens_at', '-infinity'),
  ('held_until', 'infinity'), ('held_until', '-infinity'), ('begun_held_until', 'infinity'), ('begun_held_until', '-infinity'),
  ('backoff_max_seconds', 'infinity'), ('backoff_max_seconds', 'NaN'), ('backoff_base_seconds', 'NaN')
) c (name, value);
select throws_ok($$update job_types set paused_at = 'infinity', paused_reason = 'x' where job_type = 'work'$$, '23514', null, 'paused_at');
select enqueue_job('work', '{}');
select is((select count(*) from claim_next_job()), 1::bigint, 'what is let in is reckoned with');
select is(seconds_until_next_job(), null, 'and so it is until the next');
select * from finish();
rollback;
