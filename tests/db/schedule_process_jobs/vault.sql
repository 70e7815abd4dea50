-- With a stand-in for Vault: its view and the two functions by which its secrets change.
begin;
select plan(5);
set local client_min_messages = error;
select process_jobs.store_secret('of before there was a Vault');
create schema vault;
create table vault.decrypted_secrets (id uuid primary key default gen_random_uuid(), name text unique, description text, decrypted_secret text);
create function vault.create_secret(new_secret text, new_name text default null, new_description text default '') returns uuid language sql as
$$ insert into vault.decrypted_secrets (name, description, decrypted_secret) values (new_name, new_description, new_secret) returning id $$;
create function vault.update_secret(secret_id uuid, new_secret text default null, new_name text default null, new_description text default null) returns void language sql as
$$ update vault.decrypted_secrets set decrypted_secret = coalesce(new_secret, decrypted_secret) where id = secret_id $$;

select is(process_jobs.read_secret(), 'of before there was a Vault', 'the key of before is found');
select process_jobs.store_secret('first');
select results_eq('select name, decrypted_secret from vault.decrypted_secrets', $$values ('process_jobs_secret_key', 'first')$$, 'the key goes to Vault');
select process_jobs.store_secret('second');
select results_eq('select name, decrypted_secret from vault.decrypted_secrets', $$values ('process_jobs_secret_key', 'second')$$, 'and is replaced there');
select is(process_jobs.read_secret(), 'second', 'where it is read from');
select is_empty('select * from process_jobs.secret', 'no plain text is left');

select * from finish();
rollback;
