-- A stand-in for pg_net, for tests on servers that do not have it: the exact signature of
-- net.http_post, and net.http_request_queue, which a sender outside the database drains.
--
-- Like pg_net's, a request is a row of the caller's transaction: the sender sees it after commit only,
-- and a rollback takes it back. The sender deletes what it takes:
--   delete from net.http_request_queue returning id, method, url, headers, body, timeout_milliseconds
-- Unlike pg_net's, body holds the text itself (pg_net: bytea) and there is no table of answers.
create schema if not exists net;

create unlogged table if not exists net.http_request_queue (
  id bigserial primary key,
  method text not null,
  url text not null,
  headers jsonb not null,
  body text,
  timeout_milliseconds int not null
);

create or replace function net.http_post(
  url text,
  body jsonb default '{}',
  params jsonb default '{}',
  headers jsonb default '{"Content-Type": "application/json"}',
  timeout_milliseconds int default 5000
) returns bigint
language sql
security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  select 'POST',
    url || coalesce('?' || (select string_agg(p.key || '=' || p.value, '&' order by p.key) from jsonb_each_text(params) p), ''),
    headers, body::text, timeout_milliseconds
  returning id
$$;
