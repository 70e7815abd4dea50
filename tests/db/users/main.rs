//! What the app's own users may do, tried as they do it: in sessions of the role `authenticated`, with a token's claims.

#[path = "../database.rs"]
mod database;

mod at_once;
mod hostile;
mod privileges;

use database::Database;
use tokio_postgres::Client;

const ME: &str = "00000000-0000-4000-8000-000000000001";
const ANOTHER: &str = "00000000-0000-4000-8000-000000000002";

/// What a hosted project has before the migrations: its default privileges, and as much of the schemas auth and storage
/// as they look at.
const HOSTED: &str = "
    alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
    alter default privileges in schema public grant all on functions to anon, authenticated, service_role;
    alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;
    create schema auth;
    grant usage on schema auth to anon, authenticated, service_role;
    create function auth.uid() returns uuid language sql stable as
        $$ select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid $$;
    create schema storage;
    create table storage.buckets (
        id text primary key, name text, public boolean, file_size_limit bigint, allowed_mime_types text[]);
    create table storage.objects (bucket_id text, name text, owner_id text);
    insert into storage.buckets (id, name, public) values ('open', 'open', true), ('closed', 'closed', false)";

pub async fn hosted(name: &str) -> Database {
    Database::create_with(name, HOSTED).await
}

/// A session as PostgREST has one for the token of this user.
pub async fn session_of(database: &Database, user_id: &str) -> Client {
    let client = database.session().await;
    let claims = format!(r#"{{"role": "authenticated", "sub": "{user_id}"}}"#);
    client
        .batch_execute(&format!("set role authenticated; set request.jwt.claims = '{claims}'"))
        .await
        .expect("a user's session");
    client
}

/// The SQLSTATE of a refusal.
pub fn code(error: &tokio_postgres::Error) -> String {
    error.code().unwrap_or_else(|| panic!("no answer of the database: {error}")).code().to_owned()
}
