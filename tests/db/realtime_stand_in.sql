-- A stand-in for what Supabase Realtime makes in a project's database, for tests on servers that do not have it: the
-- publication, realtime.messages with its partitions, privileges and row level security, and the exact signatures of
-- realtime.send and realtime.topic (supabase/realtime, its tenant migrations until 20260707).
--
-- Like Realtime's, send is not security definer, sets realtime.topic for the rest of the transaction, writes one row, and
-- turns every error into a warning. Unlike Realtime's, the only partition is the default one, and the tables of Postgres
-- Changes are not there. Nothing is sent from here: tests read a replication slot, the local stack adds a trigger.
do $$
begin
  create role supabase_realtime_admin noinherit nologin;
exception
  when duplicate_object or unique_violation then
    null;
end
$$;

create publication supabase_realtime;

create schema realtime;
grant usage on schema realtime to anon, authenticated, service_role;
grant all on schema realtime to supabase_realtime_admin;

create table realtime.messages (
  topic text not null,
  extension text not null,
  payload jsonb,
  event text,
  private boolean default false,
  updated_at timestamp not null default now(),
  inserted_at timestamp not null default now(),
  id uuid not null default gen_random_uuid(),
  binary_payload bytea,
  constraint messages_payload_exclusive check (payload is null or binary_payload is null),
  primary key (id, inserted_at)
) partition by range (inserted_at);
create index messages_inserted_at_topic_index on realtime.messages (inserted_at desc, topic)
  where extension = 'broadcast' and private is true;
create table realtime.messages_default partition of realtime.messages default;
alter table realtime.messages enable row level security;
grant select, insert, update on realtime.messages to anon, authenticated, service_role;

create function realtime.topic() returns text
language sql
stable
as $$
  select nullif(current_setting('realtime.topic', true), '')
$$;

create function realtime.send(payload jsonb, event text, topic text, private boolean default true) returns void
language plpgsql
as $$
declare
  v_id uuid := gen_random_uuid();
begin
  perform set_config('realtime.topic', topic, true);
  insert into realtime.messages (id, payload, event, topic, private, extension)
  values (v_id, jsonb_build_object('id', v_id) || payload, event, topic, private, 'broadcast');
exception
  when others then
    raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
end
$$;

alter table realtime.messages owner to supabase_realtime_admin;
alter table realtime.messages_default owner to supabase_realtime_admin;
alter function realtime.send(jsonb, text, text, boolean) owner to supabase_realtime_admin;
alter function realtime.topic() owner to supabase_realtime_admin;
