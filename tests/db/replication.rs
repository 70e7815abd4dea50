//! Logical replication: what a publication of `job_queue` tells, as Realtime hears it, and a queue that goes on in a
//! subscriber's database. The server needs `wal_level = logical`.

mod database;

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use database::{Database, url_of};

/// The operations on `job_queue` since the last look, with all that the stream says of each.
async fn decoded(client: &Client) -> Vec<(String, String)> {
    let changes = "select data from pg_logical_slot_get_changes('replication_decoded', null, null)";
    let changes = client.query(changes, &[]).await.expect("decode");
    let changes = changes.iter().filter_map(|row| row.get::<_, &str>(0).strip_prefix("table public.job_queue: "));
    changes
        .map(|change| change.split_once(": ").expect("an operation"))
        .map(|(op, of)| (op.into(), of.into()))
        .collect()
}

/// A job's life, from its insert to its delete; its id.
async fn live(client: &Client) -> String {
    let id: String = client.query_one("select enqueue_job('work', '{}')::text", &[]).await.expect("enqueue").get(0);
    for step in [
        "select snooze_job(id, lease_token, 0, '{}') from claim_next_job()",
        "select complete_job(id, '{}', p_lease_token => lease_token) from claim_next_job()",
    ] {
        assert!(client.query_one(step, &[]).await.expect(step).get::<_, bool>(0), "{step}");
    }
    let misplaced = client.query("select process_jobs.misplaced_jobs()", &[]).await.expect("look");
    assert!(misplaced.is_empty(), "{misplaced:?}");
    client.batch_execute("update job_queue set priority = 7; delete from job_queue").await.expect("by hand");
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_job_is_told_with_its_key() {
    let database = Database::create("replication_told").await;
    let client = database.session().await;
    client
        .batch_execute(
            // Only what has been written out is decoded.
            "set synchronous_commit = on;
            insert into job_types (job_type) values ('work');
            create publication jobs for table job_queue",
        )
        .await
        .expect("a publication");
    let slot = "select pg_create_logical_replication_slot('replication_decoded', 'test_decoding')";
    client.query_one(slot, &[]).await.expect("a slot");

    for identity in ["default", "full"] {
        client.batch_execute(&format!("alter table job_queue replica identity {identity}")).await.expect(identity);
        let id = live(&client).await;
        let key = format!("id[uuid]:'{id}'");
        let changes = decoded(&client).await;
        let told: Vec<String> = changes
            .iter()
            .map(|(operation, of)| {
                let status = of.rsplit_once("status[text]:'").and_then(|(_, rest)| rest.split('\'').next());
                format!("{operation} {}", status.unwrap_or("-"))
            })
            .collect();
        let deleted = if identity == "full" { "DELETE completed" } else { "DELETE -" };
        let lived = ["INSERT pending", "UPDATE processing", "UPDATE pending", "UPDATE processing"];
        assert_eq!(told, [&lived[..], &["UPDATE completed", "UPDATE completed", deleted]].concat(), "{identity}");
        let (_, deleted) = changes.last().expect("a delete");
        for (operation, of) in &changes {
            let old = operation == "UPDATE" && identity == "full";
            let of = if old { of.strip_prefix("old-key: ").expect("the row before") } else { of };
            assert!(of.starts_with(&key), "{identity} {operation}: {of}");
        }
        assert_eq!(*deleted == key, identity == "default", "the key alone tells which row is gone: {deleted}");
    }
    client.execute("select pg_drop_replication_slot('replication_decoded')", &[]).await.expect("drop the slot");
    database.drop().await;
}

async fn jobs(client: &Client) -> Vec<String> {
    let jobs = "select to_jsonb(j)::text from job_queue j order by id";
    client.query(jobs, &[]).await.expect("jobs").iter().map(|row| row.get(0)).collect()
}

async fn misplaced(client: &Client) -> i64 {
    client.query_one("select count(*) from process_jobs.misplaced_jobs()", &[]).await.expect("look").get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_goes_on_once_its_places_are_built() {
    let (from, to) = (Database::create("replication_from").await, Database::create("replication_to").await);
    let (publisher, subscriber) = (from.session().await, to.session().await);
    let job_type = "insert into job_types (job_type) values ('work')";
    subscriber.batch_execute(job_type).await.expect("a type");
    publisher
        .batch_execute(&format!(
            "{job_type};
            select enqueue_job('work', '{{}}', p_priority => n) from generate_series(1, 7) n;
            select complete_job(id, '{{}}', p_lease_token => lease_token) from claim_next_job();
            select complete_job(id, p_error => 'no', p_retry => 'never', p_lease_token => lease_token) from claim_next_job();
            select snooze_job(id, lease_token, 3600, '{{}}') from claim_next_job();
            create publication jobs for table job_queue"
        ))
        .await
        .expect("jobs that have ended or wait");
    // Made by hand: `create subscription` would wait for itself on the same server.
    let slot = "select pg_create_logical_replication_slot('replication_jobs', 'pgoutput')";
    publisher.query_one(slot, &[]).await.expect("a slot");
    let subscription = format!(
        "create subscription jobs connection '{}' publication jobs
        with (create_slot = false, slot_name = 'replication_jobs')",
        url_of("replication_from")
    );
    subscriber.batch_execute(&subscription).await.expect("a subscription");
    arrive(&publisher, &subscriber).await;

    publisher
        .batch_execute(
            "select from claim_next_job();
            select cancel_job(id) from job_queue where priority = 1;
            delete from job_queue where priority = 2;
            select enqueue_job('work', '{}', p_unique_key => 'k')",
        )
        .await
        .expect("it goes on meanwhile");
    arrive(&publisher, &subscriber).await;
    let states = "select string_agg(distinct status, ' ' order by status) from job_queue";
    let states: String = subscriber.query_one(states, &[]).await.expect("states").get(0);
    assert_eq!(states, "cancelled completed failed pending processing");

    subscriber
        .batch_execute(
            "alter subscription jobs disable; alter subscription jobs set (slot_name = none); drop subscription jobs",
        )
        .await
        .expect("the subscriber takes over");
    assert_eq!(misplaced(&publisher).await, 0);
    // Three pending, one of them with a key, one at work, one failed.
    assert_eq!(misplaced(&subscriber).await, 6, "what came without triggers has no place");
    let claim = "select priority from claim_next_job(p_limit => 10)";
    assert!(subscriber.query(claim, &[]).await.expect("a claim").is_empty(), "so nothing is claimed");
    let rebuilt = subscriber.query_one("select process_jobs.rebuild_places()", &[]).await.expect("rebuild");
    assert_eq!(rebuilt.get::<_, i64>(0), 6);
    assert_eq!(misplaced(&subscriber).await, 0);

    let claimed = subscriber.query(claim, &[]).await.expect("a claim");
    let claimed: Vec<i32> = claimed.iter().map(|row| row.get(0)).collect();
    assert_eq!(claimed, [3, 0], "what is ready, in order; not what waits");
    let held = "select complete_job(id, '{}', p_lease_token => lease_token) from job_queue where priority = 4";
    assert!(subscriber.query_one(held, &[]).await.expect("a settle").get::<_, bool>(0), "the worker of before settles");
    let same = "select enqueue_job('work', '{}', p_unique_key => 'k') = id from job_queue where unique_key = 'k'";
    assert!(subscriber.query_one(same, &[]).await.expect("a key").get::<_, bool>(0), "its key is taken");
    assert_eq!(misplaced(&subscriber).await, 0);

    wait("the slot's release", async || {
        let drop = "select pg_drop_replication_slot('replication_jobs')";
        publisher.query_one(drop, &[]).await.is_ok()
    })
    .await;
    from.drop().await;
    to.drop().await;
}

/// Until the subscriber has each row as the publisher has it.
async fn arrive(publisher: &Client, subscriber: &Client) {
    wait("the subscriber", async || jobs(publisher).await == jobs(subscriber).await).await;
}

async fn wait(what: &str, is_done: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_done().await {
        assert!(Instant::now() < deadline, "{what} takes too long");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
