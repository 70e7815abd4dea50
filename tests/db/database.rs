//! A database of a test's own, with all migrations applied, on the server that `DATABASE_URL` names: the url of a
//! superuser's database there.

use std::path::PathBuf;

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
        let admin = connect().await;
        admin
            .batch_execute(&format!("drop database if exists {name} with (force)"))
            .await
            .expect("drop an old database");
        admin.batch_execute(&format!("create database {name}")).await.expect("create the test's database");
        let database = Self { name: name.to_owned() };
        let client = database.session().await;
        client.batch_execute(sql).await.expect("prepare the test's database");
        migrate(&client).await;
        database
    }

    pub async fn session(&self) -> Client {
        let mut config = config();
        config.dbname(&self.name);
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
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|ancestor| ancestor.join("migrations"))
        .find(|folder| folder.is_dir())
        .expect("a folder migrations above this crate");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("read migrations")
        .map(|entry| entry.expect("read migrations").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    files.sort();
    for file in files {
        let sql = std::fs::read_to_string(&file).expect("read a migration");
        let applied = client.batch_execute(&format!("begin;\n{sql}\ncommit;")).await;
        applied.unwrap_or_else(|error| panic!("{}: {error:?}", file.display()));
    }
}
