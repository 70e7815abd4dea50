//! An app's database, and a worker played by hand in it.

#![allow(dead_code)] // No test needs all of it.

use serde_json::{Value, json};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::database::{Database, migrations};

const ROLES: &str = "do $$ declare r text; begin
    foreach r in array '{anon,authenticated,service_role}'::text[] loop
        begin execute format('create role %I nologin', r); exception when others then null; end;
    end loop; end $$";

pub async fn text(client: &Client, query: &str) -> String {
    client.query_one(query, &[]).await.expect(query).get::<_, Option<String>>(0).unwrap_or_default()
}

/// Every line that a statement answers, columns joined by a blank.
pub async fn rows(client: &Client, query: &str) -> Vec<String> {
    let messages = client.simple_query(query).await.expect(query);
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|at| row.get(at).unwrap_or("null").to_owned()).collect::<Vec<_>>().join(" "))
        }
        _ => None,
    };
    messages.iter().filter_map(row).collect()
}

pub async fn install(client: &Client) -> Result<(), tokio_postgres::Error> {
    for (_, sql) in migrations() {
        client.batch_execute(&format!("begin;\n{sql}\ncommit;")).await?;
    }
    Ok(())
}

/// The app of a fixture in a database of its own, before the installation, and a session of its owner there.
pub async fn app(name: &str, fixtures: &[&str]) -> (Database, Client) {
    let database = Database::bare(name, ROLES).await;
    database.make_hosted().await;
    let owner = database.owner().await;
    for sql in fixtures {
        owner.batch_execute(sql).await.expect("the app's database");
    }
    (database, owner)
}

/// A worker's call: a drain's first claim where there is nothing to settle, else both in one.
pub async fn exchange(client: &Client, outcomes: Value, limit: i32) -> Value {
    let claim = "select json_build_object('settled', $1::jsonb, 'jobs', coalesce(json_agg(claimed), '[]'))
        from claim_next_job('{generate-image,download-image}', $2,
            p_worker => '{\"version\": \"0.1.0\", \"webhooks\": true, \"bucket\": \"generated-images\"}') claimed";
    let both = "select exchange_jobs($1, '{generate-image,download-image}', $2)";
    let call = if outcomes == json!([]) { claim } else { both };
    client.query_one(call, &[&outcomes, &limit]).await.expect("an exchange").get(0)
}

pub fn outcome(job: &Value, more: Value) -> Value {
    let mut outcome = json!({ "job_id": job["id"], "lease_token": job["lease_token"] });
    outcome.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    outcome
}

/// What a worker does: the prediction is made, parked and found done, its picture stored. Returns what is said of the
/// end.
pub async fn work(client: &Client, job: &Value) -> Value {
    let parked =
        outcome(job, json!({ "outcome": "snoozed", "delay_seconds": 0, "checkpoint": { "prediction_id": "p" } }));
    let claimed = exchange(client, json!([parked]), 1).await;
    assert_eq!(claimed["settled"], json!([true]), "{claimed}");
    let download = json!({ "job_type": "download-image", "payload": job["payload"] });
    let made = outcome(
        &claimed["jobs"][0],
        json!({ "outcome": "completed", "result": { "prediction_id": "p" }, "follow_ups": [download] }),
    );
    let claimed = exchange(client, json!([made]), 1).await;
    assert_eq!(claimed["settled"], json!([true]), "{claimed}");
    store(client, &claimed["jobs"][0]).await
}

pub fn picture() -> Value {
    json!({ "filename": "p.png", "storage_path": "u/p.png", "public_url": "https://x/u/p.png", "file_size": 70_000,
        "width": 640, "height": 480, "format": "png" })
}

pub async fn store(client: &Client, download: &Value) -> Value {
    let stored = outcome(download, json!({ "outcome": "completed", "result": picture() }));
    exchange(client, json!([stored]), 0).await["settled"][0].clone()
}
