//! Owners' turns, where several sessions enqueue and claim.

mod database;

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use uuid::Uuid;

use database::Database;

/// Each in transactions of several inserts, in whichever order of owners, while others claim.
#[tokio::test(flavor = "multi_thread")]
async fn sixteen_sessions_that_enqueue_for_the_same_owners_never_deadlock_and_take_turns() {
    let database = Database::create("sessions_fair").await;
    let admin = database.session().await;
    admin.batch_execute("insert into job_types (job_type, fair_key) values ('work', 'owner')").await.expect("a type");

    let mut sessions = JoinSet::new();
    for session in 0..16_usize {
        let mut client = database.session().await;
        sessions.spawn(async move {
            for round in 0..20 {
                let transaction = client.transaction().await.expect("begin");
                for step in 0..4_usize {
                    let step = if session % 2 == 0 { step } else { 3 - step };
                    let owners = vec![format!("owner-{step}"), format!("owner-{}", (session + round) % 8)];
                    let insert = "insert into job_queue (job_type, payload, priority)
                        select 'work', jsonb_build_object('owner', o), n % 2 from unnest($1::text[]) o, generate_series(1, 3) n";
                    transaction.execute(insert, &[&owners]).await.expect("no deadlock");
                }
                transaction.commit().await.expect("commit");
            }
        });
    }
    for _ in 0..4 {
        let client = database.session().await;
        sessions.spawn(async move {
            for _ in 0..50 {
                let claimed = client.query("select id, lease_token from claim_next_job(p_limit => 7)", &[]).await;
                for row in claimed.expect("claim a batch") {
                    let (id, lease_token): (Uuid, Uuid) = (row.get(0), row.get(1));
                    let complete = "select complete_job($1, p_lease_token => $2)";
                    let settled = client.query_one(complete, &[&id, &lease_token]).await.expect("settle a job");
                    assert!(settled.get::<_, bool>(0), "a settle of our own claim");
                }
            }
        });
    }
    sessions.join_all().await;
    let misplaced = admin.query("select job_id, reason from process_jobs.misplaced_jobs()", &[]).await;
    assert!(misplaced.expect("look").is_empty(), "every job is where claims look");

    // Sixteen at once for one owner, and then one of another's.
    admin.batch_execute("truncate job_queue").await.expect("empty the queue");
    let mut sessions = JoinSet::new();
    for _ in 0..16 {
        let client = database.session().await;
        sessions.spawn(async move {
            for _ in 0..20 {
                let enqueue = "select enqueue_job('work', '{\"owner\": \"noisy\"}')";
                client.execute(enqueue, &[]).await.expect("enqueue");
            }
        });
    }
    sessions.join_all().await;
    admin.execute("select enqueue_job('work', '{\"owner\": \"small\"}')", &[]).await.expect("enqueue");
    let owners =
        admin.query("select payload ->> 'owner' from claim_next_job(p_limit => 1000)", &[]).await.expect("claim");
    let owners: Vec<&str> = owners.iter().map(|row| row.get(0)).collect();
    assert_eq!(owners.len(), 321);
    let ahead = owners.iter().position(|&owner| owner == "small").expect("the small owner's");
    assert!(ahead <= 10, "{ahead} of the noisy owner's jobs go before the small one's");
    database.drop().await;
}

/// Nor does one that is open for long, or that sees the queue as it was, keep others of its owner from enqueueing.
#[tokio::test(flavor = "multi_thread")]
async fn an_enqueue_hardly_waits_for_an_open_transaction_of_the_same_owner() {
    let database = Database::create("sessions_fair_open").await;
    let (open, other) = (database.session().await, database.session().await);
    let insert = "insert into job_types (job_type, fair_key) values ('work', 'owner');
        insert into job_queue (job_type, payload) select 'work', '{\"owner\": \"a\"}' from generate_series(1, 5)";
    open.batch_execute(insert).await.expect("enqueue");
    let enqueue = "select enqueue_jobs('[{\"job_type\": \"work\", \"payload\": {\"owner\": \"a\"}},
        {\"job_type\": \"work\", \"payload\": {\"owner\": \"b\"}}]')";

    open.batch_execute("begin isolation level repeatable read").await.expect("begin");
    open.batch_execute("select count(*) from job_queue").await.expect("a look");
    other.batch_execute(enqueue).await.expect("enqueue");
    open.batch_execute(enqueue).await.expect("what has changed since that look is no error");
    open.batch_execute("rollback; begin").await.expect("begin anew");
    open.batch_execute(enqueue).await.expect("enqueue");
    let started = Instant::now();
    other.batch_execute(enqueue).await.expect("enqueue beside it");
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    open.batch_execute("commit").await.expect("commit");

    // The first five of a and the first of b, then those of the three calls, of which the last two did not know of each
    // other.
    let owners = "select string_agg(payload ->> 'owner', '') from claim_next_job(p_limit => 100)";
    let owners: String = other.query_one(owners, &[]).await.expect("claim").get(0);
    assert_eq!(owners, "aababbaaaaa");
    database.drop().await;
}

/// While an owner has a job waiting, nobody else gets more than one job a turn: no more than it gets itself, and two at
/// the beginning, of the turn that is being taken and of the next.
#[tokio::test]
async fn no_owner_is_passed_by_another_more_than_once_a_turn() {
    const OWNERS: usize = 6;
    let database = Database::create("sessions_turns").await;
    let client = database.session().await;
    client.batch_execute("insert into job_types (job_type, fair_key) values ('work', 'owner')").await.expect("a type");

    for seed in 1..=8_u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 33) as usize % below
        };
        let mut waiting = [0_usize; OWNERS];
        // By owner, how many jobs each has got since that owner last had none waiting.
        let mut got = [[0_usize; OWNERS]; OWNERS];
        for step in 0..150 {
            if random(2) == 0 {
                // The first owner has most of them, in bulk.
                let owner = random(OWNERS) * random(2);
                let jobs = if owner == 0 { 1 + random(20) } else { 1 + random(2) };
                let insert = "insert into job_queue (job_type, payload)
                    select 'work', jsonb_build_object('owner', $1::int) from generate_series(1, $2::int)";
                client.execute(insert, &[&(owner as i32), &(jobs as i32)]).await.expect("enqueue");
                waiting[owner] += jobs;
            } else {
                let limit = 1 + random(4) as i32;
                let claim = "select (payload ->> 'owner')::int from claim_next_job(p_limit => $1)";
                for row in client.query(claim, &[&limit]).await.expect("claim") {
                    let owner = row.get::<_, i32>(0) as usize;
                    waiting[owner] -= 1;
                    for other in 0..OWNERS {
                        got[other][owner] += 1;
                        let (mine, theirs) = (got[other][other], got[other][owner]);
                        let passed = waiting[other] > 0 && theirs > mine + 2;
                        assert!(!passed, "seed {seed}, step {step}: {owner} got {theirs}, {other} {mine}");
                    }
                }
            }
            for owner in (0..OWNERS).filter(|&owner| waiting[owner] == 0) {
                got[owner] = [0; OWNERS];
            }
        }
        client.batch_execute("truncate job_queue").await.expect("empty the queue");
    }
    database.drop().await;
}
