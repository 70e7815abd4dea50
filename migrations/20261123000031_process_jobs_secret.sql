-- process_jobs_secret: the key that scheduled calls carry, at most one row, where there is no Vault.
--
-- Only the tables' owner reads it: no role of the API has a privilege on it, service_role included. It is plain text,
-- and so it is in a dump: leave it out with --exclude-table-data=public.process_jobs_secret.
create table if not exists public.process_jobs_secret (
  only_row boolean primary key default true,
  secret_key text not null,
  constraint process_jobs_secret_is_one_row check (only_row)
);

alter table public.process_jobs_secret enable row level security;
revoke all on public.process_jobs_secret from public, anon, authenticated, service_role;
