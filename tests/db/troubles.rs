//! What stands in one job's way: rows that somebody holds, triggers and checks of the app's own. It is that job's
//! trouble, and no other job's.

mod database;

use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use database::Database;

/// A worker's session, which the gateway gives less time than any of these locks are held.
async fn worker(database: &Database) -> Client {
    let client = database.session().await;
    client.batch_execute("set statement_timeout = '5s'").await.expect("a time-out");
    client
}

/// One image job a generation, `g-1` first.
async fn enqueue(client: &Client, jobs: i32, max_attempts: i32) {
    let insert = "insert into job_queue (job_type, payload, max_attempts, created_at)
        select 'generate-image', jsonb_build_object('generation_id', 'g-' || n, 'user_id', 'u'), $2, now() + n * interval '1 us'
        from generate_series(1, $1) n";
    client.execute(insert, &[&jobs, &max_attempts]).await.expect("enqueue image jobs");
}

async fn exchange(client: &Client, outcomes: Value, limit: i32) -> Value {
    let answer = client.query_one("select exchange_jobs($1, null, $2)", &[&outcomes, &limit]).await;
    answer.expect("an exchange").get(0)
}

/// An outcome of a claimed job.
fn outcome(job: &Value, more: Value) -> Value {
    let mut outcome = json!({ "job_id": job["id"], "lease_token": job["lease_token"] });
    outcome.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    outcome
}

async fn text(client: &Client, query: &str) -> String {
    client.query_one(query, &[]).await.expect(query).get::<_, Option<String>>(0).unwrap_or_default()
}

/// Job and generation of `g-1`.
async fn states(client: &Client) -> String {
    let query = "select j.status || ', ' || g.status from image_generations g
        join job_queue j on j.payload ->> 'generation_id' = g.id::text where g.id = 'g-1'";
    text(client, query).await
}

async fn let_troubles_be_due(client: &Client) {
    client.batch_execute("update process_jobs.job_troubles set retry_at = now()").await.expect("time goes by");
}

const HOLD_GENERATION: &str = "begin; select from image_generations where id = 'g-1' for update";

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_waits_for_no_generation_and_it_follows_later() {
    let database = Database::create("troubles_claim").await;
    let (app, worker) = (database.session().await, worker(&database).await);
    enqueue(&worker, 12, 3).await;
    app.batch_execute(HOLD_GENERATION).await.expect("an open transaction");

    let claimed = exchange(&worker, json!([]), 10).await;
    assert_eq!(claimed["jobs"].as_array().map(Vec::len), Some(10), "the batch is claimed");
    assert_eq!(states(&worker).await, "processing, queued", "but for the row that could not be had");
    app.batch_execute("commit").await.expect("commit");
    let_troubles_be_due(&worker).await;
    exchange(&worker, json!([]), 1).await;
    assert_eq!(states(&worker).await, "processing, processing");
    assert_eq!(
        text(&worker, "select count(*)::text from process_jobs.job_troubles").await,
        "0",
        "and is no trouble any more"
    );
    database.drop().await;
}

/// What is tried again locks jobs, and the turn comes before any of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_waits_for_its_turn_holds_no_job() {
    let database = Database::create("troubles_turn").await;
    let (app, other, worker) = (database.session().await, database.session().await, worker(&database).await);
    enqueue(&app, 2, 3).await;
    other.batch_execute(HOLD_GENERATION).await.expect("an open transaction");
    exchange(&app, json!([]), 1).await;
    other.batch_execute("commit").await.expect("commit");
    let_troubles_be_due(&app).await;

    other.batch_execute("begin; select process_jobs.take_turn(true)").await.expect("somebody's turn");
    let claim = tokio::spawn(async move { exchange(&worker, json!([]), 1).await });
    let waits =
        "select count(*)::text from pg_stat_activity where datname = current_database() and wait_event = 'advisory'";
    while text(&app, waits).await == "0" {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let free = app.batch_execute("select from job_queue for update nowait").await;
    free.expect("a claim that waits for its turn has locked no job");
    other.batch_execute("commit").await.expect("commit");
    assert_eq!(claim.await.expect("the claim")["jobs"].as_array().map(Vec::len), Some(1));
    assert_eq!(states(&app).await, "processing, processing");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_passes_over_rows_of_the_queue_that_somebody_holds() {
    let database = Database::create("troubles_held_rows").await;
    let (app, worker) = (database.session().await, worker(&database).await);
    enqueue(&worker, 3, 3).await;
    app.batch_execute("begin; select from job_queue where payload ->> 'generation_id' = 'g-1' for update")
        .await
        .expect("hold a job");
    assert_eq!(exchange(&worker, json!([]), 10).await["jobs"].as_array().map(Vec::len), Some(2), "a job's row");
    app.batch_execute("rollback; begin; select from job_types where job_type = 'generate-image' for update")
        .await
        .expect("hold a type");
    worker
        .batch_execute("insert into job_types (job_type) values ('work'); select enqueue_job('work', '{}')")
        .await
        .expect("another");
    let claimed = exchange(&worker, json!([]), 10).await;
    assert_eq!(claimed["jobs"][0]["job_type"], "work", "a type's row keeps its own jobs only: {claimed}");
    assert_eq!(claimed["jobs"].as_array().map(Vec::len), Some(1));
    app.batch_execute("rollback").await.expect("let go");
    assert_eq!(exchange(&worker, json!([]), 10).await["jobs"].as_array().map(Vec::len), Some(1));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_fails_with_its_generation_or_not_yet() {
    let database = Database::create("troubles_settle").await;
    let (app, worker) = (database.session().await, worker(&database).await);
    enqueue(&worker, 2, 3).await;
    let claimed = exchange(&worker, json!([]), 2).await;
    let failed = json!({ "outcome": "failed", "error": "no", "retry": "never" });
    let outcomes = json!([outcome(&claimed["jobs"][0], failed.clone()), outcome(&claimed["jobs"][1], failed.clone())]);
    app.batch_execute(HOLD_GENERATION).await.expect("an open transaction");

    let settled = exchange(&worker, outcomes.clone(), 0).await["settled"].clone();
    let again = json!({ "again": "canceling statement due to lock timeout" });
    assert_eq!(settled, json!([again, true]), "one waits, and hinders no other");
    assert_eq!(states(&worker).await, "processing, processing");
    app.batch_execute("commit").await.expect("commit");
    assert_eq!(exchange(&worker, outcomes, 0).await["settled"], json!([true, false]));
    assert_eq!(states(&worker).await, "failed, failed");
    database.drop().await;
}

/// Each function that settles one outcome waits as long for a lock as an exchange does, and leaves the job as it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_settle_of_one_outcome_waits_no_longer() {
    let database = Database::create("troubles_alone").await;
    let (app, worker) = (database.session().await, worker(&database).await);
    enqueue(&worker, 1, 3).await;
    let claimed = exchange(&worker, json!([]), 1).await;
    let job = |field: &str| claimed["jobs"][0][field].as_str().expect("a text").to_owned();
    let (id, token) = (job("id"), job("lease_token"));
    app.batch_execute("begin; select from job_queue for update").await.expect("an open transaction");
    for call in [
        format!("complete_job('{id}', p_lease_token => '{token}')"),
        format!("complete_job('{id}')"),
        format!("snooze_job('{id}', '{token}', 0)"),
        format!("cancel_job('{id}', '{token}')"),
    ] {
        let error = worker.batch_execute(&format!("select {call}")).await.expect_err("it waits in vain");
        assert_eq!(error.code().map(|code| code.code()), Some("55P03"), "{call}: {error:?}");
    }
    app.batch_execute("commit").await.expect("commit");
    assert_eq!(states(&worker).await, "processing, processing");
    worker.batch_execute(&format!("select cancel_job('{id}', '{token}')")).await.expect("nobody is in the way");
    assert_eq!(states(&worker).await, "cancelled, cancelled");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_ends_under_a_refused_settle_says_so_and_takes_its_generation_along() {
    let database = Database::create("troubles_lease").await;
    let (app, worker) = (database.session().await, worker(&database).await);
    enqueue(&worker, 2, 1).await;
    let claimed = exchange(&worker, json!([]), 1).await;
    app.batch_execute(HOLD_GENERATION).await.expect("an open transaction");
    let failed = outcome(&claimed["jobs"][0], json!({ "outcome": "failed", "error": "no", "retry": "never" }));
    exchange(&worker, json!([failed]), 0).await;
    worker
        .batch_execute("update job_queue set lease_expires_at = now() where status = 'processing'")
        .await
        .expect("later");

    let claimed = exchange(&worker, json!([]), 10).await;
    assert_eq!(claimed["jobs"].as_array().map(Vec::len), Some(1), "the other job is claimed");
    assert_eq!(states(&worker).await, "processing, processing", "the take-back waits for the generation");
    let trouble = "select message from process_jobs.job_troubles where kind = 'claim'";
    let message = "it cannot be taken back from a lost worker: canceling statement due to lock timeout";
    assert_eq!(text(&worker, trouble).await, message);
    assert_eq!(claimed["seconds_until_next"].as_f64().map(f64::round), Some(5.0), "until it is tried again");
    app.batch_execute("commit").await.expect("commit");
    let_troubles_be_due(&worker).await;
    exchange(&worker, json!([]), 1).await;
    assert_eq!(states(&worker).await, "failed, failed");
    let message = text(&worker, "select error_message from job_queue where status = 'failed'").await;
    assert!(message.ends_with("could not be recorded: canceling statement due to lock timeout"), "{message}");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_lease_tells_why_nothing_was_recorded() {
    let database = Database::create("troubles_note").await;
    let (app, worker) = (database.session().await, worker(&database).await);
    enqueue(&worker, 1, 1).await;
    let claimed = exchange(&worker, json!([]), 1).await;
    app.batch_execute(HOLD_GENERATION).await.expect("an open transaction");
    let failed = outcome(&claimed["jobs"][0], json!({ "outcome": "failed", "error": "no", "retry": "never" }));
    exchange(&worker, json!([failed]), 0).await;
    app.batch_execute("commit").await.expect("commit");
    worker.batch_execute("update job_queue set lease_expires_at = now()").await.expect("later");
    exchange(&worker, json!([]), 1).await;
    assert_eq!(
        text(&worker, "select error_message from job_queue").await,
        "lease expired on attempt 1 of 1: what the run came to could not be recorded: canceling statement due to lock timeout"
    );
    assert_eq!(states(&worker).await, "failed, failed");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_its_table_refuses_follows_once_it_may() {
    let database = Database::create("troubles_check").await;
    let worker = worker(&database).await;
    worker
        .batch_execute("alter table image_generations add constraint no_failure check (status <> 'failed')")
        .await
        .expect("a check");
    enqueue(&worker, 1, 1).await;
    let claimed = exchange(&worker, json!([]), 1).await;
    let failed = outcome(&claimed["jobs"][0], json!({ "outcome": "failed", "error": "no", "retry": "never" }));
    assert_eq!(exchange(&worker, json!([failed]), 0).await["settled"], json!([true]));
    assert_eq!(states(&worker).await, "failed, processing");
    let named = text(&worker, "select queue_stats() #>> '{troubles,0,message}'").await;
    assert!(named.contains("no_failure"), "it is named: {named}");
    for tries in 1..=3 {
        assert_eq!(text(&worker, "select tries::text from process_jobs.job_troubles").await, tries.to_string());
        let_troubles_be_due(&worker).await;
        exchange(&worker, json!([]), 1).await;
    }
    worker.batch_execute("alter table image_generations drop constraint no_failure").await.expect("mend it");
    let_troubles_be_due(&worker).await;
    exchange(&worker, json!([]), 1).await;
    assert_eq!(states(&worker).await, "failed, failed");
    assert_eq!(text(&worker, "select count(*)::text from process_jobs.job_troubles").await, "0");
    database.drop().await;
}

/// A trigger of the app's own that refuses one job, whatever is done with it.
const REFUSE: &str = "
    create function refuse() returns trigger language plpgsql as $$ begin
      if new.payload ->> 'generation_id' = 'g-1' and new.status <> 'pending' then raise exception 'not this one'; end if;
      return new;
    end $$;
    create trigger refuse before update on job_queue for each row execute function refuse()";

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_a_trigger_refuses_is_named_and_stops_no_other() {
    let database = Database::create("troubles_trigger").await;
    let worker = worker(&database).await;
    enqueue(&worker, 3, 1).await;
    worker.batch_execute(REFUSE).await.expect("a trigger");
    let claimed = exchange(&worker, json!([]), 10).await;
    assert_eq!(claimed["jobs"].as_array().map(Vec::len), Some(2), "claimed are the others");
    let named = text(&worker, "select message from process_jobs.job_troubles").await;
    assert_eq!(named, "it cannot be claimed: not this one");
    assert_eq!(exchange(&worker, json!([]), 10).await["jobs"], json!([]), "for a while it is passed over");
    for seconds in ["10", "20", "40"] {
        let_troubles_be_due(&worker).await;
        exchange(&worker, json!([]), 10).await;
        let wait = "select extract(epoch from retry_at - now())::int::text from process_jobs.job_troubles";
        assert_eq!(text(&worker, wait).await, seconds, "twice as long each time");
    }
    worker.batch_execute("drop trigger refuse on job_queue").await.expect("mend it");
    let_troubles_be_due(&worker).await;
    let first = exchange(&worker, json!([]), 10).await["jobs"][0].clone();

    // At work, its settle and its take-back are refused.
    worker
        .batch_execute("create trigger refuse before update on job_queue for each row execute function refuse()")
        .await
        .expect("a trigger");
    let (second, third) = (&claimed["jobs"][0], &claimed["jobs"][1]);
    let done = json!({ "outcome": "completed", "result": {} });
    let outcomes = json!([outcome(&first, done.clone()), outcome(second, done.clone())]);
    assert_eq!(exchange(&worker, outcomes, 0).await["settled"], json!(["not this one", true]));
    worker
        .batch_execute(
            "alter table job_queue disable trigger refuse;
        update job_queue set lease_expires_at = now() where status = 'processing';
        alter table job_queue enable trigger refuse",
        )
        .await
        .expect("leases end");
    exchange(&worker, json!([]), 10).await;
    let third = Uuid::parse_str(third["id"].as_str().expect("an id")).expect("a uuid");
    let row = worker.query_one("select status from job_queue where id = $1", &[&third]).await.expect("the third");
    assert_eq!(row.get::<_, &str>(0), "failed", "the other lease is taken back");
    assert_eq!(exchange(&worker, json!([]), 10).await["jobs"], json!([]), "and claims go on");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_stops_at_what_an_answer_holds() {
    let database = Database::create("troubles_bytes").await;
    let worker = worker(&database).await;
    worker
        .batch_execute(
            "insert into job_types (job_type) values ('work');
        insert into job_queue (job_type, payload, checkpoint)
        select 'work', jsonb_build_object('text', repeat('a', 950000)), jsonb_build_object('text', repeat('b', 950000))
        from generate_series(1, 9);
        select enqueue_job('work', '{}')",
        )
        .await
        .expect("nine large jobs and one");
    let mut claimed = 0;
    for _ in 0..3 {
        let answer: String =
            worker.query_one("select exchange_jobs('[]', null, 10)::text", &[]).await.expect("a claim").get(0);
        assert!(answer.len() < 9 * 1024 * 1024, "{} bytes", answer.len());
        claimed += serde_json::from_str::<Value>(&answer).expect("json")["jobs"].as_array().map_or(0, Vec::len);
    }
    assert_eq!(claimed, 10);

    // One that is larger than any may be goes alone.
    worker
        .batch_execute(
            "insert into job_queue (job_type, priority, checkpoint)
        select 'work', n, jsonb_build_object('text', repeat('b', 5000000 * n)) from generate_series(1, 2) n",
        )
        .await
        .expect("by hand");
    for _ in 0..2 {
        assert_eq!(exchange(&worker, json!([]), 10).await["jobs"].as_array().map(Vec::len), Some(1));
    }
    database.drop().await;
}
