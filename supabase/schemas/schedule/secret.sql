-- secret: the key for scheduled calls, at most one row, if there is no Vault.
--
-- Only the tables' owner reads it: no role of the API has a privilege on it, service_role included. It is plain text,
-- also in a dump: exclude it with --exclude-table-data=process_jobs.secret.
create table if not exists process_jobs.secret (
  only_row boolean primary key default true,
  secret_key text not null,
  constraint secret_is_one_row check (only_row)
);
