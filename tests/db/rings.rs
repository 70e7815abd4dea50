//! Rings of several sessions: how many there are, that each job is seen, and that nobody waits for one or fails by it.

mod database;

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_postgres::Client;

use database::Database;

/// A scheduled project, without pg_cron.
async fn scheduled(name: &str) -> (Database, Client) {
    let stand_in = include_str!("pg_net_stand_in.sql");
    let database = Database::create_with(name, stand_in).await;
    let client = database.session().await;
    let schedule = "insert into job_types (job_type) values ('work');
        insert into process_jobs.scheduled_function values (true, 'https://project.example/f', 5000);
        select process_jobs.store_secret('the secret key'); select setval('process_jobs.last_ring', 1)";
    client.batch_execute(schedule).await.expect("schedule");
    (database, client)
}

async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.expect(sql).get(0)
}

/// Claims until nothing is due and none is to be looked for, as a drain.
async fn drain(client: &Client) {
    loop {
        let claimed = "select from claim_next_job(p_limit => 10)";
        if !client.query(claimed, &[]).await.expect(claimed).is_empty() {
            continue;
        }
        let next = client.query_one("select seconds_until_next_job()", &[]).await.expect("the next look");
        match next.get::<_, Option<f64>>(0) {
            Some(seconds) => tokio::time::sleep(Duration::from_secs_f64(seconds.max(0.02))).await,
            None => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_transactions_at_once_ring_a_few_times_and_each_job_is_seen() {
    let (database, client) = scheduled("rings_at_once").await;
    let mut sessions = Vec::new();
    for _ in 0..40 {
        sessions.push(database.session().await);
    }
    // What pg_net sends is answered by a drain, each in a session of its own.
    let (sender, drains) = (database.session().await, database.session().await);
    let sending = tokio::spawn(async move {
        let mut rings = 0;
        loop {
            let sent = "with sent as (delete from net.http_request_queue returning id) select count(*) from sent";
            let sent = count(&sender, sent).await;
            rings += sent;
            if sent > 0 {
                drain(&drains).await;
            } else if count(&sender, "select count(*) from job_types where job_type = 'all are made'").await > 0 {
                return rings;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });

    let started = Instant::now();
    let mut making = JoinSet::new();
    for (number, mut session) in sessions.into_iter().enumerate() {
        making.spawn(async move {
            for round in 0..10_u64 {
                let transaction = session.transaction().await.expect("begin");
                transaction.batch_execute("select enqueue_job('work', '{}')").await.expect("a job");
                // Some are long, and commit when others have rung.
                if (number as u64 + round).is_multiple_of(7) {
                    tokio::time::sleep(Duration::from_millis(40 * round)).await;
                }
                transaction.commit().await.expect("commit");
            }
        });
    }
    making.join_all().await;
    let took = started.elapsed();
    client.batch_execute("insert into job_types (job_type) values ('all are made')").await.expect("the end");
    let rings = sending.await.expect("the sender");

    assert_eq!(count(&client, "select count(*) from job_queue where status = 'pending'").await, 0, "each job is seen");
    // One in 250 ms, and what decides in the very same microseconds.
    let most = i64::try_from(took.as_millis() / 250 + 1).expect("a number") * 2 + 2;
    assert!(rings >= 1 && rings <= most, "{rings} rings for 400 transactions in {took:?}");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_does_not_wait_for_what_has_pg_net_locked() {
    let (database, client) = scheduled("rings_locked").await;
    let mut other = database.session().await;
    let held = other.transaction().await.expect("begin");
    held.batch_execute("lock table net.http_request_queue in access exclusive mode").await.expect("lock");
    let started = Instant::now();
    for _ in 0..20 {
        client.batch_execute("insert into job_queue (job_type) values ('work')").await.expect("an insert");
    }
    assert!(started.elapsed() < Duration::from_secs(2), "twenty inserts took {:?}", started.elapsed());
    assert_eq!(count(&client, "select count(*) from process_jobs.ready_jobs").await, 20);
    let failure = "select ring_failure from process_jobs.scheduled_function";
    let failure: String = client.query_one(failure, &[]).await.expect(failure).get(0);
    assert!(failure.contains("lock timeout"), "{failure}");

    held.rollback().await.expect("roll back");
    tokio::time::sleep(Duration::from_millis(300)).await;
    client.batch_execute("insert into job_queue (job_type) values ('work')").await.expect("an insert");
    assert_eq!(count(&client, "select count(*) from net.http_request_queue").await, 1, "then it rings again");
    database.drop().await;
}

/// Each sees what it saw when it began, and the others' rings all the same.
#[tokio::test(flavor = "multi_thread")]
async fn transactions_of_every_isolation_commit_beside_rings() {
    let (database, client) = scheduled("rings_isolation").await;
    for level in ["repeatable read", "serializable"] {
        let mut sessions = [database.session().await, database.session().await];
        for _ in 0..5 {
            let [first, second] = &mut sessions;
            let begin = format!("begin isolation level {level}; select count(*) from job_types");
            first.batch_execute(&begin).await.expect("begin");
            second.batch_execute(&begin).await.expect("begin");
            client.batch_execute("insert into job_queue (job_type) values ('work')").await.expect("a ring meanwhile");
            client.batch_execute("delete from net.http_request_queue").await.expect("what pg_net sends");
            for session in [first, second] {
                tokio::time::sleep(Duration::from_millis(260)).await;
                session.batch_execute("insert into job_queue (job_type) values ('work')").await.expect("a job");
                session.batch_execute("commit").await.expect(level);
            }
        }
    }
    assert_eq!(count(&client, "select count(*) from job_queue").await, 30);
    let rings = count(&client, "select last_value from net.http_request_queue_id_seq").await;
    assert!(rings >= 20, "a quarter of a second later each rings: {rings}");
    database.drop().await;
}
