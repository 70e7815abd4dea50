-- new_job_id: a UUID of version 7 (RFC 9562: 48 bits of milliseconds, 12 of a millisecond's fraction, 62 random ones).
-- Jobs of one statement are claimed in the order in which they were made, and lie side by side in each index.
--
-- (Written as an expression, it is parsed once and becomes part of the statement that uses it.)
create or replace function process_jobs.new_job_id() returns uuid
language sql
volatile
return (
  overlay(lpad(to_hex((date_part('epoch', clock_timestamp()) * 4096000)::bigint), 15, '0') placing '7' from 13 for 0)
  || substring(gen_random_uuid()::text from 20)
)::uuid;
