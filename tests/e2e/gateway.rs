//! What a gateway or PostgREST answers in place of the queue: states that pass, at each round trip of a job's way. A
//! picture is paid once and recorded, and no job fails.

use crate::support::*;
use local_stack::{Fate, Stack};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What claims and settles.
const EXCHANGES: [&str; 4] = ["claim_next_job", "snooze_job", "exchange_jobs", "complete_job"];
/// After a crash of the database, what PostgREST answers on a pooled connection that died with it.
const CRASHED: Fate = Fate::AnswerBefore(400, r#"{"code":"","details":null,"hint":null,"message":""}"#);
const UNAVAILABLE: Fate = Fate::AnswerBefore(503, r#"{"code":"PGRST002","message":"Retrying."}"#);
const TOKEN: Fate = Fate::AnswerBefore(401, r#"{"code":"PGRST303","message":"JWT issued at future"}"#);
const FORBIDDEN: Fate = Fate::AnswerBefore(403, r#"{"code":"42501","message":"permission denied"}"#);
const NO_ROUTE: Fate = Fate::AnswerBefore(404, r#"{"message":"no Route matched with those values"}"#);
const EMPTY: Fate = Fate::AnswerBefore(404, "");
const RECORDED: Fate = Fate::AnswerAfter(400, r#"{"code":"","details":null,"hint":null,"message":""}"#);
const UNFIT: Fate = Fate::AnswerAfter(200, r#"{"settled":[true]}"#);

/// Where in a job's way the queue answers otherwise.
#[derive(Clone, Copy, Debug)]
enum From {
    /// 0 claims, 1 parks after the create, the next claim again, and hand over.
    Exchange(usize),
    /// The settle of the stored picture.
    Upload,
}

/// The exchanges from there on meet these fates. How many have.
fn meet(stack: &Stack, from: From, fates: &'static [Fate]) -> Arc<AtomicUsize> {
    let met = Arc::new(AtomicUsize::new(0));
    let (counter, mut left, mut fates) = (met.clone(), from, fates.iter());
    stack.decide_fates(move |path| {
        let is_exchange = path.strip_prefix("/rest/v1/rpc/").is_some_and(|function| EXCHANGES.contains(&function));
        match left {
            From::Upload if path.starts_with("/storage/v1/object/") => left = From::Exchange(0),
            From::Exchange(number @ 1..) if is_exchange => left = From::Exchange(number - 1),
            From::Exchange(0) if is_exchange => {
                let fate = fates.next();
                counter.fetch_add(usize::from(fate.is_some()), Relaxed);
                return fate.copied().unwrap_or(Fate::PassOn);
            }
            From::Exchange(_) | From::Upload => {}
        }
        Fate::PassOn
    });
    met
}

/// A claim that meets a state ends its drain; the next tick's goes on.
async fn drain_whatever_it_answers(stack: &Stack) {
    until(stack, "all is done", async || {
        let _ = stack.post_drain().await;
        count(stack, "select count(*) from job_queue where status in ('pending', 'processing')").await == 0
    })
    .await;
}

/// All jobs since the last time went as if nothing had happened. Forgets them.
async fn all_is_well(stack: &Stack, jobs: usize, paid: &mut usize, what: &str) {
    let said = || format!("{what}\n{}", stack.logs().unwrap_or_default());
    *paid += jobs;
    assert_eq!(stack.replicate().predictions().len(), *paid, "{}", said());
    assert_eq!(count(stack, "select count(*) from images").await, jobs as i64, "{}", said());
    let all = "select count(*) from image_generations where status = 'completed'";
    assert_eq!(count(stack, all).await, jobs as i64, "{}", said());
    let bad = "select count(*) from job_queue where status <> 'completed' or errors <> '[]' or attempt_number <> 1";
    assert_eq!(count(stack, bad).await, 0, "{}", said());
    execute(stack, "truncate job_queue, images, image_generations").await;
}

/// At each claim and settle of a picture's way.
#[tokio::test]
async fn what_the_queue_never_heard_of_costs_no_picture() {
    cost_no_picture([&[CRASHED, UNAVAILABLE], &[TOKEN, TOKEN], &[FORBIDDEN, NO_ROUTE, EMPTY]]).await;
}

#[tokio::test]
async fn what_the_queue_has_carried_out_costs_no_picture() {
    cost_no_picture([&[RECORDED], &[UNFIT], &[UNFIT, CRASHED, RECORDED]]).await;
}

async fn cost_no_picture(all: [&'static [Fate]; 3]) {
    let stack = start(settings(&[("POLL_INTERVAL_MS", "200")])).await;
    let anywhere = [From::Exchange(0), From::Exchange(1), From::Exchange(2), From::Exchange(3), From::Upload];
    let mut paid = 0;
    for (number, (fates, from)) in all.into_iter().flat_map(|fates| anywhere.map(|from| (fates, from))).enumerate() {
        let met = meet(&stack, from, fates);
        enqueue(&stack, "generate-image", &generate(&format!("gen-{number}"), "a fox")).await;
        drain_whatever_it_answers(&stack).await;
        all_is_well(&stack, 1, &mut paid, &format!("{fates:?} from {from:?} on")).await;
        assert!(met.load(Relaxed) > 0, "{from:?} never came");
    }
    stack.stop().await.unwrap();
}

/// Six jobs at once, and four such answers in a row, wherever in their way.
#[tokio::test]
async fn four_states_in_a_row_cost_none_of_six_jobs() {
    let stack = start(settings(&[("POLL_INTERVAL_MS", "200")])).await;
    let mut paid = 0;
    for number in 1..6 {
        meet(&stack, From::Exchange(number), &[TOKEN, TOKEN, TOKEN, TOKEN]);
        for job in 0..6 {
            enqueue(&stack, "generate-image", &generate(&format!("gen-{number}-{job}"), "a fox")).await;
        }
        drain_whatever_it_answers(&stack).await;
        all_is_well(&stack, 6, &mut paid, &format!("from exchange {number} on")).await;
    }
    stack.stop().await.unwrap();
}

/// A key that is refused for good is one error that says where to look, and no job is touched.
#[tokio::test]
async fn a_key_that_is_refused_touches_no_job() {
    let stack = start(settings(&[])).await;
    let id = enqueue(&stack, "generate-image", &generate("gen-1", "a fox")).await;
    stack.decide_fates(|path| match path.starts_with("/rest/v1/") {
        true => Fate::AnswerBefore(401, r#"{"message":"Invalid API key"}"#),
        false => Fate::PassOn,
    });
    let answer = call(&stack, "POST", "", &[], None).await;
    assert_eq!(answer.status, 500, "{answer:?}");
    let error = answer.body["error"].as_str().unwrap();
    assert!(error.contains("Invalid API key") && error.contains("SUPABASE_SECRET_KEYS"), "{error}");
    let job = job(&stack, &id).await;
    assert_eq!((&job["status"], &job["attempt_number"]), (&json!("pending"), &json!(0)), "{job}");
    assert_eq!(stack.replicate().predictions().len(), 0);
    let answer = call(
        &stack,
        "POST",
        "/jobs",
        &[("content-type", "application/json")],
        Some(json!({ "job_type": "generate-image", "payload": generate("gen-2", "a fox") }).to_string()),
    )
    .await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.headers["retry-after"], "5");
    stack.stop().await.unwrap();
}
