-- requests: what users have asked for, one row a request_generation or retry_generation.
--
-- idempotency_key  the caller's; the same key with the same request_hash is the same request
-- ended_at         when the generation was seen to have ended; null: its jobs tell whether it has (open_generations)
--
-- Whether a generation has ended is read of its jobs, and kept here once it has, so that the settle that ends it has
-- nothing to write, and a job that was deleted by whatever means does not count for ever. prune_jobs deletes old rows.
create table if not exists process_jobs.requests (
  n bigint primary key generated always as identity,
  user_id text not null,
  generation_id text not null,
  idempotency_key text,
  request_hash bytea,
  created_at timestamptz not null default now(),
  ended_at timestamptz
);
create unique index if not exists requests_key on process_jobs.requests (user_id, idempotency_key)
  where idempotency_key is not null;
create index if not exists requests_of_user on process_jobs.requests (user_id, created_at);
create index if not exists requests_open on process_jobs.requests (user_id) where ended_at is null;
create index if not exists requests_of_generation on process_jobs.requests (generation_id);
