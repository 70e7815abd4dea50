//! Twenty at once: each sees what those before it have taken.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::database::Database;
use crate::{ANOTHER, ME, code, hosted, session_of};

/// How often each answer came to this query, twenty times at once: `ok`, or the SQLSTATE.
async fn twenty(database: &Database, query: &'static str) -> HashMap<String, usize> {
    let barrier = Arc::new(Barrier::new(20));
    let mut sessions = JoinSet::new();
    for _ in 0..20 {
        let (client, barrier) = (session_of(database, ME).await, barrier.clone());
        sessions.spawn(async move {
            barrier.wait().await;
            client.query_one(query, &[]).await.map_or_else(|error| code(&error), |_| "ok".to_owned())
        });
    }
    let mut answers = HashMap::new();
    while let Some(answer) = sessions.join_next().await {
        *answers.entry(answer.expect("a session")).or_default() += 1;
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn no_limit_is_passed_and_a_key_is_one_generation() {
    let database = hosted("users_at_once").await;
    let admin = database.session().await;
    let limits = "insert into user_limits (applies_to, max_open, max_per_day) values ('all', 5, null)";
    admin.batch_execute(limits).await.expect("limits");
    let expected = |ok, refused| HashMap::from([("ok".to_owned(), ok), ("PT429".to_owned(), refused)]);

    let request = "select request_generation('a fox', 'a/b')";
    assert_eq!(twenty(&database, request).await, expected(5, 15), "at once");
    admin.batch_execute("update user_limits set max_open = null, max_per_day = 8").await.expect("limits");
    assert_eq!(twenty(&database, request).await, expected(3, 17), "a day");
    let count = "select count(*) from job_queue";
    assert_eq!(admin.query_one(count, &[]).await.expect("jobs").get::<_, i64>(0), 8);

    admin.batch_execute("update user_limits set max_per_day = 9").await.expect("limits");
    let keyed = "select request_generation('a fox', 'a/b', '{\"idempotency_key\": \"k\"}')";
    assert_eq!(twenty(&database, keyed).await, HashMap::from([("ok".to_owned(), 20)]), "one key");
    assert_eq!(admin.query_one(count, &[]).await.expect("jobs").get::<_, i64>(0), 9, "one generation");

    // Retries: one brings it back, the others find it under way.
    let failed =
        "update job_queue set status = 'failed', error_message = 'no'; update user_limits set max_per_day = null";
    admin.batch_execute(failed).await.expect("all failed");
    let retry = "select 1 / retry_generation(generation_id)::int from (
        select id as generation_id from image_generations order by id limit 1) g";
    assert_eq!(
        twenty(&database, retry).await,
        HashMap::from([("ok".to_owned(), 1), ("22012".to_owned(), 19)]),
        "retries"
    );

    // Another user waits for none of it.
    let mine = session_of(&database, ME).await;
    mine.batch_execute("begin; select request_generation('a fox', 'a/b')").await.expect("a request under way");
    let theirs = session_of(&database, ANOTHER).await;
    theirs
        .batch_execute("set lock_timeout = '1s'; select request_generation('a fox', 'a/b')")
        .await
        .expect("not held up");
    database.drop().await;
}
