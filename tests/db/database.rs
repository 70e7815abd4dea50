//! A database of a test's own, with all migrations applied, on the server that `DATABASE_URL` names: the url of a
//! superuser's database there.

#![allow(dead_code)] // No test needs all of it.

use tokio_postgres::{Client, Config, NoTls};

/// A database of a test's own.
pub struct Database {
    name: String,
}

impl Database {
    pub async fn create(name: &str) -> Self {
        Self::create_with(name, "").await
    }

    /// One in which this was done before the migrations.
    pub async fn create_with(name: &str, sql: &str) -> Self {
        let database = Self::bare(name, sql).await;
        migrate(&database.session().await).await;
        database
    }

    /// One in which this was done, and without the migrations.
    pub async fn bare(name: &str, sql: &str) -> Self {
        let admin = connect().await;
        admin
            .batch_execute(&format!("drop database if exists {name} with (force)"))
            .await
            .expect("drop an old database");
        admin.batch_execute(&format!("create database {name}")).await.expect("create the test's database");
        let database = Self { name: name.to_owned() };
        let client = database.session().await;
        client.batch_execute(sql).await.expect("prepare the test's database");
        database
    }

    pub async fn session(&self) -> Client {
        let mut config = config();
        config.dbname(&self.name);
        open(&config).await
    }

    /// Makes the database one of a hosted project: it belongs to a role of its own name, which is no superuser, as
    /// `postgres` is none there, and has the privileges that such a project gives by default.
    pub async fn make_hosted(&self) {
        let admin = self.session().await;
        let hosted = format!(
            "do $$ begin create role {role} login createrole bypassrls; exception when duplicate_object then null; end $$;
            grant anon, authenticated, service_role to {role};
            alter database {role} owner to {role}; alter schema public owner to {role};
            alter default privileges for role {role} in schema public grant all on tables to anon, authenticated, service_role;
            alter default privileges for role {role} in schema public grant all on functions to anon, authenticated, service_role;
            alter default privileges for role {role} in schema public grant all on sequences to anon, authenticated, service_role",
            role = self.name
        );
        let password = config().get_password().map(|it| String::from_utf8_lossy(it).into_owned()).unwrap_or_default();
        let hosted = format!("{hosted}; alter role {} password '{password}'", self.name);
        admin.batch_execute(&hosted).await.expect("a hosted project");
    }

    /// A session of the owner of a hosted project's database.
    pub async fn owner(&self) -> Client {
        let mut config = config();
        config.dbname(&self.name).user(&self.name);
        open(&config).await
    }

    pub async fn drop(self) {
        let admin = connect().await;
        admin
            .batch_execute(&format!("drop database {} with (force)", self.name))
            .await
            .expect("drop the test's database");
    }
}

fn config() -> Config {
    std::env::var("DATABASE_URL").expect("DATABASE_URL is set").parse().expect("DATABASE_URL is a postgres url")
}

/// Where other programs find a test's database.
pub fn url_of(database: &str) -> String {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL is set");
    format!("{}/{database}", url.rsplit_once('/').expect("a url with a database").0)
}

async fn connect() -> Client {
    open(&config()).await
}

async fn open(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.expect("connect to the test server");
    tokio::spawn(connection);
    client
}

/// Applies every migration in the order of its name, each in a transaction, as `supabase db push` does.
pub async fn migrate(client: &Client) {
    for (name, sql) in migrations() {
        let applied = client.batch_execute(&format!("begin;\n{sql}\ncommit;")).await;
        applied.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
}

/// Names and texts of the migrations, in order.
pub fn migrations() -> Vec<(String, String)> {
    let migrations = local_stack::Migration::all().expect("read migrations");
    migrations.into_iter().map(|migration| (migration.name, migration.sql)).collect()
}
