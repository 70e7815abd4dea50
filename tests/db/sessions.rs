//! What takes several database sessions at once: claims, takeovers, unique keys.
//!
//! Each test makes a database of its own and drops it at the end; where a test fails, its database stays.

mod database;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_postgres::Client;
use uuid::Uuid;

use database::Database;

const SESSIONS: usize = 10;

/// Enqueues one job of a type that no trigger looks at.
async fn enqueue(client: &Client, max_attempts: i32) -> Uuid {
    client
        .batch_execute("insert into job_types (job_type) values ('work') on conflict do nothing")
        .await
        .expect("a type");
    let row = client.query_one("select enqueue_job('work', '{}', p_max_attempts => $1)", &[&max_attempts]).await;
    row.expect("enqueue a job").get(0)
}

/// Claims one job: its id and lease token.
async fn claim(client: &Client) -> Option<(Uuid, Uuid)> {
    let row = client.query_opt("select id, lease_token from claim_next_job()", &[]).await.expect("claim a job");
    row.map(|row| (row.get(0), row.get(1)))
}

async fn complete(client: &Client, (id, lease_token): (Uuid, Uuid), result: Value) -> bool {
    let row = client.query_one("select complete_job($1, $2, p_lease_token => $3)", &[&id, &result, &lease_token]).await;
    row.expect("settle a job").get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_sessions_drain_a_thousand_jobs_each_exactly_once() {
    let database = Database::create("sessions_drain").await;
    let admin = database.session().await;
    let insert = "insert into job_types (job_type) values ('work'), ('play');
        insert into job_queue (job_type, priority)
        select case when n % 3 = 0 then 'play' else 'work' end, n % 5 from generate_series(1, 1000) n";
    admin.batch_execute(insert).await.expect("enqueue a thousand jobs");

    let mut workers = JoinSet::new();
    for worker in 0..SESSIONS {
        let client = database.session().await;
        // Batches of 1 to 5, so that sessions meet at every offset.
        let limit = (worker % 5 + 1) as i32;
        workers.spawn(async move {
            let mut ran = Vec::new();
            loop {
                let claimed =
                    client.query("select id, lease_token from claim_next_job(p_limit => $1)", &[&limit]).await;
                let claimed = claimed.expect("claim a batch");
                if claimed.is_empty() {
                    return ran;
                }
                for row in claimed {
                    let claim: (Uuid, Uuid) = (row.get(0), row.get(1));
                    assert!(complete(&client, claim, json!({ "worker": worker })).await, "a settle of our own claim");
                    ran.push(claim.0);
                }
            }
        });
    }
    let runs: Vec<Uuid> = workers.join_all().await.into_iter().flatten().collect();

    assert_eq!(runs.len(), 1000, "as many runs as jobs");
    assert_eq!(runs.iter().collect::<HashSet<_>>().len(), 1000, "no job ran twice");
    let left = "select count(*) from job_queue where status <> 'completed' or attempt_number <> 1";
    assert_eq!(
        admin.query_one(left, &[]).await.expect("count").get::<_, i64>(0),
        0,
        "each completed on its first attempt"
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_passes_over_what_an_open_transaction_has_claimed_and_nothing_else() {
    let database = Database::create("sessions_skip_locked").await;
    let (mut first, second) = (database.session().await, database.session().await);
    // The heads of two types: a claim of one must leave the other's head to the next session.
    let insert = "insert into job_types (job_type) values ('work'), ('play');
        insert into job_queue (job_type, priority) values ('work', 1), ('play', 0)";
    first.batch_execute(insert).await.expect("enqueue two jobs");

    let transaction = first.transaction().await.expect("begin");
    let claimed = transaction.query_one("select job_type from claim_next_job()", &[]).await.expect("the first claim");
    assert_eq!(claimed.get::<_, &str>(0), "work");
    let claimed = second.query_one("select job_type from claim_next_job()", &[]).await.expect("the second claim");
    assert_eq!(claimed.get::<_, &str>(0), "play");
    transaction.rollback().await.expect("roll back");

    let claimed = second.query_one("select job_type from claim_next_job()", &[]).await.expect("the third claim");
    assert_eq!(claimed.get::<_, &str>(0), "work", "a rolled back claim leaves its job");
    database.drop().await;
}

/// However much of the first in order others hold, and whether or not vacuum has been there.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_looks_past_whatever_others_hold() {
    let database = Database::create("sessions_look_past").await;
    let admin = database.session().await;
    let jobs = "insert into job_types (job_type) values ('work');
        insert into job_queue (job_type) select 'work' from generate_series(1, 2000)";
    admin.batch_execute(jobs).await.expect("a backlog");
    let mut held = 0;
    let mut others = Vec::new();
    for vacuum in ["select 1", "vacuum analyze process_jobs.ready_jobs"] {
        admin.batch_execute(vacuum).await.expect("vacuum");
        for limit in [100, 1, 300, 10, 1, 1] {
            let other = database.session().await;
            other.batch_execute("begin").await.expect("a transaction that stays open");
            let claimed = other.query("select id from claim_next_job(p_limit => $1)", &[&limit]).await.expect("claim");
            let claimed = claimed.len() as i32;
            assert!((1..=limit).contains(&claimed), "{vacuum}: {claimed} of {limit} while {held} are held by others");
            held += claimed;
            others.push(other);
        }
    }
    drop(others);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_workers_settle_after_a_takeover_changes_nothing() {
    let database = Database::create("sessions_takeover").await;
    let (stale, fresh) = (database.session().await, database.session().await);
    enqueue(&stale, 3).await;

    let stale_claim = claim(&stale).await.expect("the stale worker's claim");
    stale.execute("update job_queue set lease_expires_at = now()", &[]).await.expect("let the lease expire");
    let fresh_claim = claim(&fresh).await.expect("the takeover");
    assert_eq!(stale_claim.0, fresh_claim.0, "the same job");

    assert!(!complete(&stale, stale_claim, json!("stale")).await, "the stale settle is refused");
    let heartbeat = stale.query_one("select heartbeat_job($1, $2)", &[&stale_claim.0, &stale_claim.1]).await;
    assert!(!heartbeat.expect("heartbeat").get::<_, bool>(0), "so is its heartbeat");
    let snooze = stale.query_one("select snooze_job($1, $2, 0)", &[&stale_claim.0, &stale_claim.1]).await;
    assert!(!snooze.expect("snooze").get::<_, bool>(0), "so is its snooze");
    let cancel = stale.query_one("select cancel_job($1, $2)", &[&stale_claim.0, &stale_claim.1]).await;
    assert!(!cancel.expect("cancel").get::<_, bool>(0), "so is the end of its cancellation");
    assert!(complete(&fresh, fresh_claim, json!("fresh")).await, "the fresh settle is recorded");
    assert!(!complete(&stale, stale_claim, json!("stale")).await, "and final");

    let row = fresh.query_one("select status, result, attempt_number from job_queue", &[]).await.expect("the job");
    assert_eq!((row.get(0), row.get(1), row.get(2)), ("completed", json!("fresh"), 2));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settle_that_waits_for_another_session_sees_what_that_has_done() {
    let database = Database::create("sessions_waiting").await;
    let (other, worker) = (database.session().await, database.session().await);
    // A transaction sees pg_stat_activity as it was when it first looked.
    let onlooker = database.session().await;
    for (change, recorded, status) in [
        ("select cancel_job($1)", true, "cancelled"),
        ("update job_queue set lease_token = gen_random_uuid() where id = $1", false, "processing"),
        ("delete from job_queue where id = $1", false, "gone"),
    ] {
        let id = enqueue(&worker, 1).await;
        let claimed = claim(&worker).await.expect("a job");
        other.batch_execute("begin").await.expect("begin");
        other.execute(change, &[&id]).await.expect(change);
        let settle = complete(&worker, claimed, json!({}));
        let commit = async {
            let waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'
                and datname = current_database() and query like '%complete_job%'";
            while onlooker.query_one(waits, &[]).await.expect(waits).get::<_, i64>(0) == 0 {}
            other.batch_execute("commit").await.expect("commit");
        };
        let both = tokio::time::timeout(Duration::from_secs(30), async { tokio::join!(settle, commit) });
        let (settled, ()) = both.await.expect("the settle waits for the other session");
        assert_eq!(settled, recorded, "{change}");
        let found = worker.query_opt("select status from job_queue where id = $1", &[&id]).await.expect("its status");
        assert_eq!(found.map_or("gone".to_owned(), |row| row.get(0)), status, "{change}");
        worker.batch_execute("delete from job_queue").await.expect("clear");
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_enqueues_of_one_unique_key_at_once_make_one_job() {
    let database = Database::create("sessions_unique_key").await;
    let admin = database.session().await;
    admin.batch_execute("insert into job_types (job_type) values ('work')").await.expect("a type");

    for round in 0..20 {
        let mut sessions = JoinSet::new();
        for _ in 0..SESSIONS {
            let client = database.session().await;
            let key = format!("key-{round}");
            sessions.spawn(async move {
                let row = client.query_one("select enqueue_job('work', '{}', p_unique_key => $1)", &[&key]).await;
                row.expect("enqueue").get::<_, Uuid>(0)
            });
        }
        let ids: HashSet<Uuid> = sessions.join_all().await.into_iter().collect();
        assert_eq!(ids.len(), 1, "every session got the same id");
    }
    let jobs: i64 = admin.query_one("select count(*) from job_queue", &[]).await.expect("count").get(0);
    assert_eq!(jobs, 20, "one job a key");
    database.drop().await;
}

/// In whichever order each of them names the keys.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_share_unique_keys_wait_for_each_other_without_a_deadlock() {
    let database = Database::create("sessions_enqueue_jobs").await;
    let admin = database.session().await;
    admin.batch_execute("insert into job_types (job_type) values ('work')").await.expect("a type");

    for round in 0..10 {
        let mut sessions = JoinSet::new();
        for session in 0..SESSIONS {
            let client = database.session().await;
            let mut keys: Vec<String> = (0..200).map(|n| format!("key-{round}-{}", n * 7 % 200)).collect();
            keys.rotate_left(session * 20);
            if session % 2 == 1 {
                keys.reverse();
            }
            sessions.spawn(async move {
                let jobs: Vec<Value> =
                    keys.iter().map(|key| json!({"job_type": "work", "payload": {}, "unique_key": key})).collect();
                let row = client.query_one("select enqueue_jobs($1)", &[&Value::from(jobs)]).await;
                let ids: Vec<Uuid> = row.expect("no deadlock").get(0);
                let mut answered: Vec<(String, Uuid)> = keys.into_iter().zip(ids).collect();
                answered.sort();
                answered
            });
        }
        let answers: HashSet<Vec<(String, Uuid)>> = sessions.join_all().await.into_iter().collect();
        assert_eq!(answers.len(), 1, "every session got the same id for a key");
        assert_eq!(answers.iter().flatten().count(), 200);
    }
    let jobs: i64 = admin.query_one("select count(*) from job_queue", &[]).await.expect("count").get(0);
    assert_eq!(jobs, 2000, "one job a key");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_reset_does_no_harm() {
    let database = Database::create("sessions_reset").await;
    let (operator, first, second) = (database.session().await, database.session().await, database.session().await);
    let reset = "update job_queue set status='pending' where status='processing'";

    // Nobody takes the job over: the live worker's settle counts.
    enqueue(&operator, 3).await;
    let claimed = claim(&first).await.expect("a claim");
    operator.execute(reset, &[]).await.expect("reset");
    assert!(complete(&first, claimed, json!("live")).await, "the live worker's settle is taken");
    assert_eq!(claim(&second).await, None, "and the job does not run again");

    // Somebody takes it over once its lease is over, on its last attempt: the later claim counts.
    enqueue(&operator, 1).await;
    let claimed = claim(&first).await.expect("a claim");
    operator.execute(reset, &[]).await.expect("reset");
    assert_eq!(claim(&second).await, None, "a reset takes nothing from a live worker");
    operator.execute("update job_queue set scheduled_at = now()", &[]).await.expect("as if the lease were over");
    let taken_over = claim(&second).await.expect("a takeover");
    assert!(!complete(&first, claimed, json!("live")).await, "the first worker's settle is refused");
    assert!(complete(&second, taken_over, json!("taken over")).await, "the second one's is recorded");

    let results =
        operator.query("select result from job_queue where status = 'completed' order by created_at", &[]).await;
    let results: Vec<Value> = results.expect("the jobs").iter().map(|row| row.get(0)).collect();
    assert_eq!(results, [json!("live"), json!("taken over")]);
    database.drop().await;
}

/// Claims that meet at a bounded type, and at generations that two jobs each are about, wait for each other in no
/// ring.
#[tokio::test(flavor = "multi_thread")]
async fn claims_at_the_same_generations_never_deadlock() {
    let database = Database::create("sessions_deadlock").await;
    let admin = database.session().await;
    let insert = "update job_types set starts_per_minute = 100000;
        insert into job_queue (job_type, payload, max_attempts, checkpoint)
        select 'generate-image', jsonb_build_object('generation_id', 'g-' || n % 20, 'user_id', 'u'), 100,
            case when n <= 20 then jsonb_build_object('prediction_id', 'p') end
        from generate_series(1, 40) n";
    admin.batch_execute(insert).await.expect("enqueue jobs that share generations");

    let mut workers = JoinSet::new();
    for _ in 0..6 {
        let client = database.session().await;
        workers.spawn(async move {
            for round in 0..150 {
                let claimed = client.query("select id, lease_token from claim_next_job(p_limit => 10)", &[]).await;
                for row in claimed.expect("claim a batch") {
                    let claim: (Uuid, Uuid) = (row.get(0), row.get(1));
                    let settle = match round % 3 {
                        0 => "update job_queue set lease_expires_at = now() where id = $1 and lease_token = $2",
                        1 => "select snooze_job($1, $2, 0, jsonb_build_object('prediction_id', 'p'))",
                        _ => "select complete_job($1, p_lease_token => $2, p_error => 'again')",
                    };
                    client.execute(settle, &[&claim.0, &claim.1]).await.expect("settle a job");
                    client
                        .execute("update job_queue set scheduled_at = now() where id = $1", &[&claim.0])
                        .await
                        .expect("due");
                }
            }
        });
    }
    workers.join_all().await;
    database.drop().await;
}

/// Claims that meet at a bounded type share its starts: they do not each begin what there is.
#[tokio::test(flavor = "multi_thread")]
async fn claims_at_the_same_moment_share_the_starts() {
    let database = Database::create("sessions_starts").await;
    let admin = database.session().await;
    let insert = "insert into job_types (job_type, starts_per_minute) values ('work', 100);
        insert into job_queue (job_type) select 'work' from generate_series(1, 1000)";
    admin.batch_execute(insert).await.expect("enqueue a thousand jobs");

    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(Arc::new(database.session().await));
    }
    for round in 0..10 {
        // An hour later: the bucket is full again.
        admin
            .batch_execute("update job_types set start_tokens_at = start_tokens_at - interval '1 hour'")
            .await
            .expect("fill the bucket");
        let begin = Instant::now();
        let mut workers = JoinSet::new();
        for client in &sessions {
            let client = client.clone();
            workers.spawn(async move {
                client.query("select id from claim_next_job(p_limit => 10)", &[]).await.expect("claim a batch").len()
            });
        }
        let begun: usize = workers.join_all().await.into_iter().sum();
        let filled = begin.elapsed().as_secs_f64() * 100.0 / 60.0;
        assert!((10..=10 + filled.ceil() as usize).contains(&begun), "round {round}: {begun} of 10 and {filled:.1}");
    }
    database.drop().await;
}

/// Image jobs of so many generations, each of which two jobs are about where `shared`.
/// A job is put off while a claim looks at it, to a time that is over by the claim's clock.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_takes_a_job_from_where_it_stands_by_then() {
    let database = Database::create("sessions_moved").await;
    let (client, other) = (database.session().await, database.session().await);
    enqueue(&client, 3).await;
    let slow = "update job_types set starts_per_minute = 600 where job_type = 'work';
        create or replace function process_jobs.available_starts(p_type job_types) returns double precision
        language plpgsql as $$ declare v_context text; begin
          get diagnostics v_context = pg_context;
          if v_context like '%skip locked%' then perform pg_sleep(1); end if; return 60; end $$";
    client.batch_execute(slow).await.expect("a slow claim");

    other.batch_execute("begin").await.expect("begin");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let claim = tokio::spawn(async move {
        let claimed = client.query("select id from claim_next_job('{work}')", &[]).await.expect("a claim");
        (client, claimed.len())
    });
    let picks = "select from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";
    let watcher = database.session().await;
    while watcher.query_opt(picks, &[]).await.expect("look").is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let put_off = "update job_queue set scheduled_at = now() + interval '50 ms'; commit";
    other.batch_execute(put_off).await.expect("put off by its own clock");
    let (client, claimed) = claim.await.expect("the claim");
    assert_eq!(claimed, 1, "it is due by the claim's");
    let misplaced = client.query("select * from process_jobs.misplaced_jobs()", &[]).await.expect("look");
    assert!(misplaced.is_empty(), "{misplaced:?}");
    database.drop().await;
}

/// The answer of a claim is lost while the database still carries it out.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_still_under_way_is_not_made_twice() {
    let database = Database::create("sessions_again").await;
    let (first, second) = (database.session().await, database.session().await);
    let id = enqueue(&first, 3).await;
    let other = enqueue(&first, 3).await;

    let token = Uuid::from_u128(7);
    let claim = "select id from claim_next_job(p_lease_token => $1)";
    first.batch_execute("begin").await.expect("begin");
    let claimed: Uuid = first.query_one(claim, &[&token]).await.expect("a claim").get(0);
    let refused = second.query(claim, &[&token]).await.expect_err("the first is under way");
    assert_eq!(refused.code().map(|code| code.code()), Some("55P03"), "{refused}");
    first.batch_execute("commit").await.expect("commit");
    assert_eq!(second.query_one(claim, &[&token]).await.expect("a claim").get::<_, Uuid>(0), claimed);

    let exchange = "select exchange_jobs(p_limit => 5, p_lease_token => $1)";
    let answer: Value = second.query_one(exchange, &[&token]).await.expect("an exchange").get(0);
    assert_eq!(answer["jobs"].as_array().map(Vec::len), Some(1), "{answer}");
    assert_eq!(answer["jobs"][0]["id"], json!(claimed.to_string()));
    let left: i64 = first
        .query_one("select count(*) from job_queue where status = 'pending' and id = any ($1)", &[&vec![id, other]])
        .await
        .expect("count")
        .get(0);
    assert_eq!(left, 1, "the other job is left to another claim");
    database.drop().await;
}

async fn enqueue_image_jobs(client: &Client, jobs: i32, shared: bool) {
    let insert = "insert into job_queue (job_type, payload, max_attempts)
        select 'generate-image', jsonb_build_object('generation_id', 'g-' || case when $2 then n / 2 else n end, 'user_id', 'u'), 100
        from generate_series(1, $1) n";
    client.execute(insert, &[&jobs, &shared]).await.expect("enqueue image jobs");
}

/// Sixteen workers whose exchanges meet rate limits, lost leases, new jobs and generations that are also others'. What one
/// has, no other gets, and in the end every job is done. For ten seconds, or LOAD_SECONDS.
#[tokio::test(flavor = "multi_thread")]
async fn exchanges_under_load_lose_nothing_and_never_deadlock() {
    let seconds = std::env::var("LOAD_SECONDS").map_or(10, |it| it.parse().expect("LOAD_SECONDS is a number"));
    let database = Database::create("sessions_exchange").await;
    let admin = database.session().await;
    admin.batch_execute("update job_types set starts_per_minute = 1000000").await.expect("no bound that is met");
    enqueue_image_jobs(&admin, 400, true).await;

    // It waits for nobody, so that no deadlock is the test's own.
    let due = "update job_queue set scheduled_at = now() where id = any (array(
        select id from job_queue where status = 'pending' and scheduled_at > now() for update skip locked))";
    let end = Instant::now() + Duration::from_secs(seconds);
    let held = Arc::new(Mutex::new(HashSet::new()));
    let mut workers = JoinSet::new();
    for worker in 0..16_u32 {
        let client = database.session().await;
        let held = held.clone();
        workers.spawn(async move {
            let mut outcomes: Vec<Value> = Vec::new();
            let (mut recorded, mut again, mut round) = (0, 0, 0);
            while Instant::now() < end || !outcomes.is_empty() {
                let limit = if Instant::now() < end { 10 } else { 0 };
                // While an outcome is on its way, or once a lease is lost, another may have the job.
                outcomes.iter().for_each(|outcome| assert!(held.lock().unwrap().remove(&outcome["job_id"])));
                let sent = Value::from(std::mem::take(&mut outcomes));
                let exchange = "select exchange_jobs($1, null, $2)";
                let answer: Value = client.query_one(exchange, &[&sent, &limit]).await.expect("an exchange").get(0);
                for (settled, outcome) in answer["settled"].as_array().expect("what was settled").iter().zip(sent.as_array().unwrap()) {
                    assert!(*settled == true || settled.is_object(), "{outcome}: {settled}");
                    if settled.is_object() {
                        again += 1;
                        assert!(held.lock().unwrap().insert(outcome["job_id"].clone()), "{outcome}: it is still this worker's");
                        outcomes.push(outcome.clone());
                    } else {
                        recorded += 1;
                    }
                }
                for (n, job) in answer["jobs"].as_array().expect("jobs").iter().enumerate() {
                    assert!(held.lock().unwrap().insert(job["id"].clone()), "{} was claimed twice", job["id"]);
                    let dice = (worker * 31 + round * 7 + n as u32 * 13) % 100;
                    let who = |more: Value| {
                        let mut outcome = json!({ "job_id": job["id"], "lease_token": job["lease_token"] });
                        outcome.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                        outcome
                    };
                    match dice {
                        0..5 => outcomes.push(who(json!({ "outcome": "snoozed", "delay_seconds": 0.001, "hold_job_type": true }))),
                        5..7 => {
                            held.lock().unwrap().remove(&job["id"]);
                            let expire = "update job_queue set lease_expires_at = now() where id::text = $1 and status = 'processing'";
                            client.execute(expire, &[&job["id"].as_str()]).await.expect("lose a lease");
                        }
                        7..55 => outcomes.push(who(json!({ "outcome": "snoozed", "delay_seconds": 0, "checkpoint": { "prediction_id": format!("p{dice}") } }))),
                        55..70 => outcomes.push(who(json!({ "outcome": "completed", "result": {} }))),
                        _ => outcomes.push(who(json!({ "outcome": "failed", "error": "again", "retry": "backoff" }))),
                    }
                }
                if round % 10 == 0 {
                    client.batch_execute(due).await.expect("let all be due");
                    enqueue_image_jobs(&client, 20, true).await;
                }
                round += 1;
            }
            (recorded, again)
        });
    }
    let (recorded, again) = workers.join_all().await.into_iter().fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
    assert!(recorded > 1000, "the workers got to work: {recorded} outcomes");
    let errors: i64 = admin
        .query_one("select deadlocks from pg_stat_database where datname = current_database()", &[])
        .await
        .expect("statistics")
        .get(0);
    println!("{recorded} recorded, {again} again, {errors} deadlocks");
    assert_eq!(errors, 0);
    let misplaced = admin.query("select * from process_jobs.misplaced_jobs()", &[]).await.expect("look");
    assert!(misplaced.is_empty(), "{misplaced:?}");

    admin.batch_execute("update job_types set held_until = null, begun_held_until = null").await.expect("no hold");
    admin
        .batch_execute("update job_queue set lease_expires_at = now() where status = 'processing'")
        .await
        .expect("no lease");
    let rest = "select exchange_jobs(coalesce((
        select jsonb_agg(jsonb_build_object('job_id', id, 'lease_token', lease_token, 'outcome', 'completed'))
        from job_queue where status = 'processing'), '[]'), null, 1000)";
    loop {
        admin.batch_execute(due).await.expect("let all be due");
        let answer: Value = admin.query_one(rest, &[]).await.expect("an exchange").get(0);
        if answer["jobs"].as_array().expect("jobs").is_empty() {
            break;
        }
    }
    let left = admin.query("select id, status, error_message from job_queue where status <> 'completed'", &[]).await;
    let left = left.expect("what is left");
    assert!(left.is_empty(), "{left:?}");
    database.drop().await;
}

/// Pages that a claim of one job reads.
async fn pages_of_a_claim(client: &Client) -> i64 {
    let explain = "explain (analyze, buffers, format json) select claim_next_job()";
    let plan: Value = client.query_one(explain, &[]).await.expect("explain a claim").get(0);
    plan.pointer("/0/Plan/Shared Hit Blocks").and_then(Value::as_i64).expect("a plan with buffers")
}

/// While a transaction is open, vacuum clears nothing of what has passed. One claim passes over it, and those after it do
/// not; what becomes ready before it all the same is found at once, and what was committed late once the mark is over.
#[tokio::test(flavor = "multi_thread")]
async fn claims_do_not_walk_again_and_again_over_what_is_gone() {
    let database = Database::create("sessions_gone").await;
    let client = database.session().await;
    client.batch_execute("insert into job_types (job_type) values ('work')").await.expect("a type");
    let reader = database.session().await;
    let open = "begin isolation level repeatable read; select count(*) from job_types";
    reader.batch_execute(open).await.expect("a transaction that stays open");

    client
        .batch_execute("insert into job_queue (job_type) select 'work' from generate_series(1, 5000)")
        .await
        .expect("jobs");
    let exchange = client.prepare("select exchange_jobs($1, null, 1000)").await.expect("prepare an exchange");
    let mut outcomes = Value::Array(Vec::new());
    for _ in 0..6 {
        let answer: Value = client.query_one(&exchange, &[&outcomes]).await.expect("an exchange").get(0);
        let jobs = answer["jobs"].as_array().expect("jobs");
        let done =
            |job: &Value| json!({"outcome": "completed", "job_id": job["id"], "lease_token": job["lease_token"]});
        outcomes = jobs.iter().map(done).collect();
    }
    client.batch_execute("delete from process_jobs.marks").await.expect("no mark");
    client
        .batch_execute("insert into job_queue (job_type) select 'work' from generate_series(1, 10)")
        .await
        .expect("more jobs");

    let (first, second) = (pages_of_a_claim(&client).await, pages_of_a_claim(&client).await);
    assert!(first > 300, "the first claim passes over 5,000 jobs: {first} pages");
    assert!(second < 200, "the second does not: {second} pages, the first {first}");

    let claimed = "select priority from claim_next_job()";
    client.batch_execute("select enqueue_job('work', '{}', 9)").await.expect("a job of a higher priority");
    assert_eq!(client.query_one(claimed, &[]).await.expect("a claim").get::<_, i32>(0), 9, "it is before the mark");

    let late = database.session().await;
    late.batch_execute("begin; select enqueue_job('work', '{}', 8)").await.expect("a job in an open transaction");
    let raise =
        "select process_jobs.raise_marks(null); update process_jobs.marks set look_at = now() + interval '1 hour'";
    client.batch_execute(raise).await.expect("a mark behind it");
    late.batch_execute("commit").await.expect("commit late");
    assert_eq!(client.query_one(claimed, &[]).await.expect("a claim").get::<_, i32>(0), 0, "it is not seen yet");
    client.batch_execute("update process_jobs.marks set look_at = now()").await.expect("its time is over");
    assert_eq!(client.query_one(claimed, &[]).await.expect("a claim").get::<_, i32>(0), 8, "it is found");

    let gone = "insert into process_jobs.leases select gen_random_uuid(), now() - interval '1 hour', '{}' from generate_series(1, 5000);
        insert into process_jobs.waiting_jobs
        select gen_random_uuid(), 'work', 1, now() - interval '1 hour', 0, now() from generate_series(1, 5000);
        delete from process_jobs.leases where expires_at < now();
        delete from process_jobs.waiting_jobs";
    client.batch_execute(gone).await.expect("leases that are over, and jobs that fell due");
    let (first, second) = (pages_of_a_claim(&client).await, pages_of_a_claim(&client).await);
    assert!(first > 500, "the first claim passes over 10,000 entries: {first} pages");
    assert!(second < 200, "the second does not: {second} pages, the first {first}");
    database.drop().await;
}

/// Twenty sessions tell the same ends in every order, by outcomes and by events, while the project's budget runs out.
#[tokio::test(flavor = "multi_thread")]
async fn what_twenty_sessions_tell_at_once_is_counted_once() {
    const PREDICTIONS: usize = 200;
    let database = Database::create("sessions_usage").await;
    let admin = database.session().await;
    let prepare = "insert into job_types (job_type) values ('work');
        insert into job_queue (job_type, payload) select 'work', '{\"user_id\": \"u-1\"}' from generate_series(1, 100);
        update project_budget set max_cost_per_month = 0.3";
    admin.batch_execute(prepare).await.expect("jobs and a budget");

    let mut sessions = JoinSet::new();
    for number in 0..20_u64 {
        let client = database.session().await;
        sessions.spawn(async move {
            let mut random = fastrand::Rng::with_seed(number);
            let mut ids: Vec<usize> = (0..PREDICTIONS).collect();
            random.shuffle(&mut ids);
            for ids in ids.chunks(10) {
                let usage: Value = ids
                    .iter()
                    .map(|id| json!({ "id": format!("p-{id}"), "status": "succeeded", "images": 1, "predict_seconds": 0.5, "model": "black-forest-labs/flux-schnell" }))
                    .collect();
                if number % 2 == 0 {
                    let wake = "select wake_job(id, '{}', p_usage => $1) from job_queue order by random() limit 1";
                    client.execute(wake, &[&usage]).await.expect("wake");
                } else {
                    let claimed = "select jsonb_agg(jsonb_build_object('outcome', 'snoozed', 'delay_seconds', 0, 'job_id', id,
                        'lease_token', lease_token, 'usage', $1::jsonb)) from claim_next_job(p_limit => 2)";
                    let mut outcomes: Option<Value> = client.query_one(claimed, &[&usage]).await.expect("claim").get(0);
                    // What waits for others for too long is sent again, as the worker does.
                    while outcomes.as_ref().is_some_and(|outcomes| outcomes != &json!([])) {
                        let settle = "select jsonb_agg(o order by n) filter (where s -> 'again' is not null) from
                            rows from (jsonb_array_elements($1), jsonb_array_elements(exchange_jobs($1)::jsonb -> 'settled'))
                            with ordinality r (o, s, n)";
                        outcomes = client.query_one(settle, &[&outcomes]).await.expect("settle").get(0);
                    }
                }
                client.batch_execute("update project_budget set look_again_at = now()").await.expect("look again");
            }
        });
    }
    while let Some(session) = sessions.join_next().await {
        session.expect("a session");
    }
    let counted =
        "select count(*), sum(images), sum(predict_seconds), sum(cost)::float8, min(user_id) from usage_ledger";
    let counted = admin.query_one(counted, &[]).await.expect("the ledger");
    let all = PREDICTIONS as i64;
    assert_eq!((counted.get::<_, i64>(0), counted.get::<_, i64>(1), counted.get::<_, f64>(2)), (all, all, 100.0));
    assert!((counted.get::<_, f64>(3) - 0.6).abs() < 1e-9);
    assert_eq!(counted.get::<_, &str>(4), "u-1");
    let paused = "select paused_reason like 'the project''s budget for % is used: %' from job_types where job_type = 'generate-image'";
    assert!(admin.query_one(paused, &[]).await.expect("the type").get::<_, bool>(0));
    assert_eq!(
        admin
            .query_one("select count(*) from job_queue where status = 'pending'", &[])
            .await
            .expect("jobs")
            .get::<_, i64>(0),
        100
    );
    database.drop().await;
}
