//! Sends the requests that `net.http_post` queues, as pg_net's background worker does.

use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Row};

/// A task that sends the requests of the stand-in in tests/db/pg_net_stand_in.sql after their transactions have
/// committed: once each, without retry, dropping the connection after the time-out. Ends when dropped.
pub struct PgNet {
    task: JoinHandle<()>,
}

impl PgNet {
    /// The schema of the stand-in, to load before the migrations.
    pub fn stand_in_sql() -> Result<String> {
        Ok(std::fs::read_to_string(crate::repository().join("tests/db/pg_net_stand_in.sql"))?)
    }

    /// `client` must see `net.http_request_queue`.
    pub fn start(client: Client) -> PgNet {
        PgNet { task: tokio::spawn(send_all(client)) }
    }
}

impl Drop for PgNet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The interval of looks at the queue; pg_net looks every second.
const POLL: Duration = Duration::from_millis(50);

async fn send_all(database: Client) {
    let http = reqwest::Client::new();
    let take = "delete from net.http_request_queue returning id, method, url, headers, body, timeout_milliseconds";
    // Fails once the database has stopped.
    while let Ok(rows) = database.query(take, &[]).await {
        for row in rows {
            tokio::spawn(send(http.clone(), row));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn send(http: reqwest::Client, row: Row) {
    let method = reqwest::Method::from_bytes(row.get::<_, &str>("method").as_bytes()).unwrap_or_default();
    let timeout = Duration::from_millis(row.get::<_, i32>("timeout_milliseconds").max(0) as u64);
    let mut request = http.request(method, row.get::<_, &str>("url")).timeout(timeout);
    if let serde_json::Value::Object(headers) = row.get("headers") {
        for (name, value) in headers {
            request = request.header(name, value.as_str().unwrap_or_default());
        }
    }
    if let Some(body) = row.get::<_, Option<String>>("body") {
        request = request.body(body);
    }
    if let Err(error) = request.send().await {
        eprintln!("pg_net: request {}: {error}", row.get::<_, i64>("id"));
    }
}
