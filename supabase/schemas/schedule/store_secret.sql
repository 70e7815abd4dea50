-- store_secret: stores the key for scheduled calls where read_secret looks for it; a second call replaces the first
-- key. In the table the key is plain text, and a notice says so; a key stored there before Vault existed is deleted.
-- Only for the owner's functions.
create or replace function process_jobs.store_secret(p_secret_key text) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_vault regclass := to_regclass('vault.decrypted_secrets');
  v_secret_id uuid;
begin
  if v_vault is null then
    insert into process_jobs.secret (secret_key) values (p_secret_key)
    on conflict (only_row) do update set secret_key = excluded.secret_key;
    raise notice 'there is no Vault: the key lies in process_jobs.secret as plain text, and so it does in a dump without --exclude-table-data=process_jobs.secret';
    return;
  end if;
  delete from process_jobs.secret;

  execute format('select id from %s where name = $1', v_vault)
  using 'process_jobs_secret_key'
  into v_secret_id;
  if v_secret_id is null then
    execute format('select %s($1, $2, $3)', to_regproc('vault.create_secret'))
    using p_secret_key, 'process_jobs_secret_key', 'the key with which pg_cron calls process-jobs';
  else
    execute format('select %s($1, $2)', to_regproc('vault.update_secret')) using v_secret_id, p_secret_key;
  end if;
end
$$;
