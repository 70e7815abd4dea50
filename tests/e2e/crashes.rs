//! What a crash or a lost connection costs: nothing but time. Each generation pays for one prediction and ends in
//! one picture, wherever it is interrupted.
//!
//! With `CRASH_MATRIX=write` the table of the first test goes into README.md (`cargo xtask crash-matrix`).

#[allow(dead_code)]
mod support;

use local_stack::{Fate, Options, Stack};
use replicate_stand_in::{Endpoint, Fault, Rate};
use serde_json::Value;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::*;

/// Shortened from 60 s each.
const LEASE: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_secs(1);
/// A job that comes back no sooner than this after its lease and a tick is stuck.
const STUCK: Duration = Duration::from_secs(20);

const STACK_SETTINGS: &[(&str, &str)] = &[("POLL_INTERVAL_MS", "200")];

/// Where a run is interrupted.
enum Place {
    /// At the nth call of REST or Storage whose path has this in it; after its effect and before its answer, or
    /// before both.
    Call { path: &'static str, nth: usize, after: bool },
    /// At a call of Replicate, which has its effect and no answer; a file is half sent.
    Replicate(Endpoint),
    /// While no worker has the job. There is no connection that could break.
    Parked,
}

#[derive(Clone, Copy, PartialEq)]
enum Interruption {
    Killed,
    Dropped,
}

const fn call(path: &'static str, nth: usize, after: bool) -> Place {
    Place::Call { path, nth, after }
}

/// How a generation goes: claimed, parked after its create, claimed again for a look, which finds the picture made and
/// exchanges that for the download, which is completed.
const CLAIM: &str = "rpc/claim_next_job";
const PARK: &str = "rpc/snooze_job";
const MADE: &str = "rpc/exchange_jobs";
const STORED: &str = "rpc/complete_job";

const PLACES: &[(&str, Place)] = &[
    ("after the claim, before its answer", call(CLAIM, 1, true)),
    ("after Replicate has taken the create, before its answer", Place::Replicate(Endpoint::Create)),
    ("after the create's answer, before it is saved", call(PARK, 1, false)),
    ("after it is saved, before the answer", call(PARK, 1, true)),
    ("while parked", Place::Parked),
    ("at a poll", Place::Replicate(Endpoint::Get)),
    ("after the picture is made, before that is settled", call(MADE, 1, false)),
    ("after that is settled, before the answer", call(MADE, 1, true)),
    ("in mid-download", Place::Replicate(Endpoint::File)),
    ("before the upload arrives", call("/storage/v1/object/", 1, false)),
    ("after the upload, before its answer", call("/storage/v1/object/", 1, true)),
    ("after the upload, before the settle", call(STORED, 1, false)),
    ("after the settle, before its answer", call(STORED, 1, true)),
];

/// What a generation has come to, counted at each place that could hold too much.
struct Counts {
    predictions: usize,
    ledger_rows: i64,
    image_rows: i64,
    objects: i64,
}

#[tokio::test]
async fn wherever_it_is_interrupted_a_generation_costs_one_prediction() {
    let replicate = replicate_stand_in::Options {
        // The first poll finds it made, so that the calls come in the order of the table.
        starting: Duration::from_millis(20),
        processing: Duration::from_millis(20),
        ..replicate_stand_in::Options::default()
    };
    let stack = start(Options { replicate, ..settings(STACK_SETTINGS) }).await;
    shorten(&stack).await;
    let mut table = String::from(
        "| interrupted | killed: done after | connection lost: done after | predictions | in the ledger | image rows | objects |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for (number, (name, place)) in PLACES.iter().enumerate() {
        let mut cells = Vec::new();
        for interruption in [Interruption::Killed, Interruption::Dropped] {
            if matches!((place, interruption), (Place::Parked, Interruption::Dropped)) {
                cells.push("–".to_owned());
                continue;
            }
            let id = format!("place-{number}-{}", cells.len());
            let took = interrupt(&stack, &id, place, interruption).await;
            let Counts { predictions, ledger_rows, image_rows, objects } = counts(&stack, &id).await;
            let counts = (predictions, ledger_rows, image_rows, objects);
            assert_eq!(counts, (1, 1, 1, 1), "{name}\n{}", stack.logs().unwrap());
            cells.push(format!("{:.1} s", took.as_secs_f64()));
        }
        table += &format!("| {name} | {} | {} | 1 | 1 | 1 | 1 |\n", cells[0], cells[1]);
    }
    ledger_is_what_was_used(&stack).await;
    println!("{table}");
    if std::env::var("CRASH_MATRIX").is_ok_and(|value| value == "write") {
        write_to_readme(&table);
    }
    stack.stop().await.unwrap();
}

async fn shorten(stack: &Stack) {
    let sql = "update job_types set lease_seconds = {}, backoff_base_seconds = 1, backoff_max_seconds = 1";
    execute(stack, &sql.replace("{}", &LEASE.as_secs().to_string())).await;
}

/// Runs a generation to its end with one interruption on the way; answers the time from there to the end.
async fn interrupt(stack: &Stack, id: &str, place: &Place, interruption: Interruption) -> Duration {
    stack.function().kill().await.unwrap();
    let interrupted_at = Arc::new(Mutex::new(None));
    let killed = interruption == Interruption::Killed;
    let mut prompt = id.to_owned();
    let asked = stack.replicate().requests().len();
    match place {
        Place::Call { path, nth, after } => {
            let (path, mut left, at) = (*path, *nth, interrupted_at.clone());
            let fate = match (killed, after) {
                (true, false) => Fate::KillBefore,
                (true, true) => Fate::KillAfter,
                (false, false) => Fate::DropBefore,
                (false, true) => Fate::DropAfter,
            };
            stack.decide_fates(move |called| {
                left = left.saturating_sub(usize::from(called.contains(path)));
                if left > 0 || at.lock().unwrap().is_some() {
                    return Fate::PassOn;
                }
                *at.lock().unwrap() = Some(Instant::now());
                fate
            });
        }
        Place::Replicate(Endpoint::File) if killed => prompt += " [slow-body]",
        Place::Replicate(endpoint) => {
            stack.replicate().fail_next(*endpoint, if killed { Fault::Hang } else { Fault::DropAfter }, 1);
        }
        Place::Parked => {}
    }

    let job_id = enqueue(stack, "generate-image", &generate(id, &prompt)).await;
    let began = Instant::now();
    let mut ticked = None;
    while generation(stack, id).await["status"] != "completed" {
        tick(stack, &mut ticked).await;
        let here = match place {
            Place::Call { .. } => false,
            Place::Replicate(endpoint) => {
                let requests = stack.replicate().requests();
                requests.iter().skip(asked).any(|request| request.endpoint == Some(*endpoint))
            }
            Place::Parked => {
                let job = job(stack, &job_id).await;
                job["status"] == "pending" && !job["checkpoint"].is_null()
            }
        };
        if here && interrupted_at.lock().unwrap().is_none() {
            if killed {
                tokio::time::sleep(Duration::from_millis(100)).await;
                stack.function().kill().await.unwrap();
            }
            *interrupted_at.lock().unwrap() = Some(Instant::now());
        }
        assert!(began.elapsed() < STUCK, "{}\n{}", job(stack, &job_id).await, stack.logs().unwrap());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let interrupted_at = interrupted_at.lock().unwrap().expect("the run was interrupted");
    assert_eq!(count(stack, "select count(*) from job_queue where status <> 'completed'").await, 0);
    interrupted_at.elapsed()
}

/// What pg_cron does: calls the function when there is something to do, and takes no interest in the answer.
async fn tick(stack: &Stack, ticked: &mut Option<Instant>) {
    if ticked.is_some_and(|at| at.elapsed() < TICK) {
        return;
    }
    *ticked = Some(Instant::now());
    if count(stack, "select count(*) from seconds_until_next_job() s where s = 0").await == 1 {
        let url = format!("{}/functions/v1/process-jobs", stack.api_url());
        let client = reqwest::Client::new();
        let request = client.post(url).header("apikey", stack.secret_key()).header("prefer", "respond-async");
        // The function may be killed before it answers.
        let _ = request.send().await;
    }
}

async fn counts(stack: &Stack, id: &str) -> Counts {
    let is_its = |input: &serde_json::Map<String, Value>| {
        input["prompt"].as_str().and_then(|prompt| prompt.split(' ').next()) == Some(id)
    };
    let of = |table: &str, column: &str, pattern: &str| {
        format!("select count(*) from {table} where {column} like '{}'", pattern.replace("{}", id))
    };
    let ledger = format!(
        "select count(*) from usage_ledger l join job_queue j on j.id = l.job_id where j.payload ->> 'generation_id' = '{id}'"
    );
    Counts {
        predictions: stack.replicate().predictions().iter().filter(|it| is_its(&it.input)).count(),
        ledger_rows: count(stack, &ledger).await,
        image_rows: count(stack, &of("images", "generation_id", "{}")).await,
        objects: count(stack, &of("storage.objects", "name", "%/{}.%")).await,
    }
}

/// Without webhooks, where a job ends before its prediction: killed at its last attempt, past `JOB_TIMEOUT_MS`, or
/// cancelled past it. A job of its own sees the end; where a job sees it itself, there is none.
#[tokio::test]
async fn what_a_job_has_not_seen_to_end_is_recorded_all_the_same() {
    let stack = start(settings(&[("POLL_INTERVAL_MS", "200"), ("JOB_TIMEOUT_MS", "10000")])).await;
    shorten(&stack).await;
    let sql = "select enqueue_job('generate-image', $1, p_max_attempts => 1)";
    for (id, marker) in [("killed", "[hang]"), ("refused", "[fail:E005]"), ("made", "")] {
        let payload = generate(id, &format!("{id} {marker}"));
        stack.sql().await.unwrap().execute(sql, &[&payload]).await.unwrap();
    }
    let mut ticked = None;
    until(&stack, "the others have ended", async || {
        tick(&stack, &mut ticked).await;
        count(&stack, "select count(*) from job_queue where status in ('completed', 'failed')").await == 3
    })
    .await;
    stack.replicate().fail_next(Endpoint::Get, Fault::Hang, 1);
    let at_work =
        "select count(*) from job_queue where status = 'processing' and payload ->> 'generation_id' = 'killed'";
    until(&stack, "it is looked at", async || {
        tick(&stack, &mut ticked).await;
        count(&stack, at_work).await == 1
    })
    .await;
    stack.function().kill().await.unwrap();
    let timed_out = enqueue(&stack, "generate-image", &generate("late", "late [hang]")).await;
    until(&stack, "all have ended", async || {
        tick(&stack, &mut ticked).await;
        count(&stack, "select count(*) from job_queue where status in ('pending', 'processing')").await == 0
    })
    .await;
    assert_eq!(job(&stack, &timed_out).await["status"], "failed");
    let killed = "select to_jsonb(g) from image_generations g where id = 'killed'";
    let killed = row(&stack, killed, &[]).await["error_message"].to_string();
    assert!(killed.contains("the worker was killed or lost"), "{killed}");
    assert_eq!(stack.replicate().predictions().len(), 4);
    ledger_is_what_was_used(&stack).await;
    let watched = "select count(*) from job_queue where job_type = 'watch-prediction' and status = 'completed'";
    assert!((1..=2).contains(&count(&stack, watched).await));
    stack.stop().await.unwrap();
}

/// The ledger has a row for each prediction of the stand-in's that has ended, with its end, seconds and pictures, and no
/// other.
async fn ledger_is_what_was_used(stack: &Stack) {
    let rows = "select id, status, predict_seconds, images, cost::float8, user_id from usage_ledger order by id";
    let rows = stack.sql().await.unwrap().query(rows, &[]).await.unwrap();
    let mut used = stack.replicate().predictions();
    used.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(rows.len(), used.len(), "rows of the ledger and predictions");
    for (row, prediction) in rows.iter().zip(&used) {
        let told = prediction.to_json("");
        let images = prediction.output.as_array().map_or(0, Vec::len) as i32;
        assert_eq!(row.get::<_, &str>(0), prediction.id);
        assert_eq!(row.get::<_, &str>(1), prediction.status.as_str(), "{told}");
        assert_eq!(row.get::<_, Option<f64>>(2), told["metrics"]["predict_time"].as_f64(), "{told}");
        assert_eq!(row.get::<_, Option<i32>>(3), Some(images), "{told}");
        assert!((row.get::<_, f64>(4) - 0.003 * f64::from(images)).abs() < 1e-9, "{told}");
        assert_eq!(row.get::<_, &str>(5), "user-123", "{told}");
    }
}

/// Between the two marks.
fn write_to_readme(table: &str) {
    let path = local_stack::repository().join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once("<!-- crash matrix -->\n").expect("the mark before the table");
    let (_, after) = rest.split_once("<!-- /crash matrix -->").expect("the mark after the table");
    fs::write(&path, format!("{before}<!-- crash matrix -->\n{table}<!-- /crash matrix -->{after}")).unwrap();
}

/// 200 generations, 20 at once, while the function is killed and connections are dropped at random and webhooks go
/// astray in every way; the seed is fixed.
#[tokio::test]
async fn two_hundred_generations_survive_random_kills_drops_and_webhooks() {
    const ROUNDS: usize = 10;
    const AT_ONCE: usize = 20;
    const KILLS_A_ROUND: usize = 5;
    const WEBHOOKS: &[&str] = &[
        "",
        "[webhook:lost]",
        "[webhook:twice]",
        "[webhook:late:1500ms]",
        "[webhook:reordered]",
        "[webhook:forged]",
        "[webhook:stale]",
    ];
    let mut random = fastrand::Rng::with_seed(20_261_124);
    let replicate = replicate_stand_in::Options {
        creates: Rate::UNLIMITED,
        others: Rate::UNLIMITED,
        ..replicate_stand_in::Options::default()
    };
    let stack = start(Options { replicate, webhooks: true, ..settings(&[("POLL_INTERVAL_MS", "100")]) }).await;
    shorten(&stack).await;
    let mut dice = random.fork();
    stack.decide_fates(move |_| match dice.u32(0..100) {
        0 => Fate::DropBefore,
        1 => Fate::DropAfter,
        _ => Fate::PassOn,
    });

    for round in 0..ROUNDS {
        for number in 0..AT_ONCE {
            let webhook = WEBHOOKS[random.usize(0..WEBHOOKS.len())];
            let id = format!("gen-{round}-{number}");
            let payload = generate(&id, &format!("{id} {webhook}"));
            // Kills and drops cost attempts.
            let sql = "select enqueue_job('generate-image', $1, p_max_attempts => 100)";
            stack.sql().await.unwrap().execute(sql, &[&payload]).await.unwrap();
            // Events that come before the create's answer, and creates that are never answered.
            match random.u32(0..10) {
                0 => stack.replicate().fail_next(Endpoint::Create, Fault::Late(Duration::from_millis(1200)), 1),
                1 => stack.replicate().fail_next(Endpoint::Create, Fault::DropAfter, 1),
                2 => stack.replicate().fail_next(Endpoint::Create, Fault::StatusAfter(502), 1),
                3 => stack.replicate().fail_next(Endpoint::File, Fault::DropAfter, 1),
                _ => {}
            }
        }
        let (mut ticked, began) = (None, Instant::now());
        let mut kills: Vec<Duration> =
            (0..KILLS_A_ROUND).map(|_| Duration::from_millis(random.u64(100..3000))).collect();
        kills.sort();
        while count(&stack, "select count(*) from job_queue where status in ('pending', 'processing')").await > 0 {
            tick(&stack, &mut ticked).await;
            if kills.first().is_some_and(|at| *at <= began.elapsed()) {
                kills.remove(0);
                stack.function().kill().await.unwrap();
            }
            let patience = Duration::from_secs(120);
            assert!(began.elapsed() < patience, "round {round} does not end\n{}", stack.logs().unwrap());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    let all = (ROUNDS * AT_ONCE) as i64;
    let failures = "select count(*) from job_queue where status <> 'completed'";
    assert_eq!(count(&stack, failures).await, 0, "{}", stack.logs().unwrap());
    assert_eq!(count(&stack, "select count(*) from image_generations where status = 'completed'").await, all);
    assert_eq!(count(&stack, "select count(*) from images").await, all);
    assert_eq!(count(&stack, "select count(*) from storage.objects").await, all);
    assert_eq!(stack.replicate().predictions().len() as i64, all, "a prediction was paid twice");
    ledger_is_what_was_used(&stack).await;
    let lost = "select coalesce(sum(jsonb_array_length(errors)), 0) from job_queue";
    println!(
        "{all} generations, {} boots of the function, {} failed attempts, {} webhook tries",
        stack.function().boots(),
        count(&stack, lost).await,
        stack.replicate().deliveries().len()
    );
    assert!(stack.function().boots() > ROUNDS * 2, "hardly anything was killed");
    stack.stop().await.unwrap();
}
