//! Sends the requests that `net.http_post` queues, as pg_net's background worker does.

use std::time::Duration;

use anyhow::Result;
use tokio::task::{JoinHandle, JoinSet};
use tokio_postgres::{Client, Row};

/// A task that sends the requests of the stand-in in tests/db/pg_net_stand_in.sql after their transactions have
/// committed: once each, without retry, dropping the connection after the time-out. Ends when dropped.
///
/// Its times are those of pg_net 0.19 and later: a commit wakes it. It sends what there is and waits until all of that
/// is answered; then it rests for a second, or until a commit wakes it, but only for the first after it was idle.
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

/// The interval of looks for a commit.
const POLL: Duration = Duration::from_millis(10);
const REST: Duration = Duration::from_secs(1);

/// Ends once the database has stopped.
async fn send_all(database: Client) {
    let http = reqwest::Client::new();
    let take = "delete from net.http_request_queue returning id, method, url, headers, body, timeout_milliseconds";
    loop {
        if wait_for_request(&database).await.is_err() {
            return;
        }
        let mut was_woken = false;
        loop {
            let Ok(rows) = database.query(take, &[]).await else { return };
            let is_done = rows.is_empty();
            let requests: JoinSet<()> = rows.into_iter().map(|row| send(http.clone(), row)).collect();
            requests.join_all().await;
            if was_woken {
                tokio::time::sleep(REST).await;
            } else {
                was_woken = tokio::time::timeout(REST, wait_for_request(&database)).await.is_ok();
            }
            if is_done {
                break;
            }
        }
    }
}

async fn wait_for_request(database: &Client) -> Result<(), tokio_postgres::Error> {
    while !database.query_one("select exists (select from net.http_request_queue)", &[]).await?.get::<_, bool>(0) {
        tokio::time::sleep(POLL).await;
    }
    Ok(())
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
