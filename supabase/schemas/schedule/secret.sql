-- secret: the key that scheduled calls carry, at most one row, where there is no Vault.
--
-- Only the tables' owner reads it: no role of the API has a privilege on it, service_role included. It is plain text,
-- and so it is in a dump: leave it out with --exclude-table-data=process_jobs.secret.
create table if not exists process_jobs.secret (
  only_row boolean primary key default true,
  secret_key text not null,
  constraint secret_is_one_row check (only_row)
);
