-- read_secret: the key for scheduled calls, from Vault if it exists (under the name process_jobs_secret_key), else, or
-- if Vault has none of that name, from the table process_jobs.secret; null: none is stored.
--
-- Only for the owner's functions. Vault is queried through execute, because it need not exist.
create or replace function process_jobs.read_secret() returns text
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_vault regclass := to_regclass('vault.decrypted_secrets');
  v_secret_key text;
begin
  if v_vault is not null then
    execute format('select decrypted_secret from %s where name = $1', v_vault)
    using 'process_jobs_secret_key'
    into v_secret_key;
  end if;
  return coalesce(v_secret_key, (select s.secret_key from process_jobs.secret s));
end
$$;
