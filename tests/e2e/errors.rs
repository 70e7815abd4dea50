//! The error table, end to end. The scripts in `tests/conversations` go through it case by case.

use crate::support::*;
use local_stack::Fate;
use replicate_stand_in::{Endpoint, Fault, Mode, Rate};
use serde_json::json;

/// What nobody can mend fails at the first attempt, with a sentence that names the cause.
#[tokio::test]
async fn what_cannot_be_mended_fails_at_once() {
    let stack = start(settings(&[("POLL_INTERVAL_MS", "200"), ("MAX_IMAGE_BYTES", "1000000")])).await;
    let cases = [
        ("nsfw", "a fox [fail:nsfw]", "flagged as sensitive"),
        ("empty", "a fox [empty]", "succeeded without an output"),
        ("gone", "a fox [gone]", "replicate has removed its output"),
        ("html", "a fox [not-an-image]", "not a png, jpeg, webp, gif, avif or svg picture"),
        ("announced", "[huge:2MB]", "larger than MAX_IMAGE_BYTES (1000000 bytes)"),
        ("unannounced", "[huge:2MB] [no-length]", "larger than MAX_IMAGE_BYTES (1000000 bytes)"),
    ];
    for (id, prompt, _) in cases {
        enqueue(&stack, "generate-image", &generate(id, prompt)).await;
    }
    let mut no_such_model = generate("no-such-model", "a fox");
    no_such_model["model_id"] = json!("nobody/nothing");
    enqueue(&stack, "generate-image", &no_such_model).await;
    enqueue(&stack, "download-image", &download("elsewhere", "https://evil.example/a.png")).await;
    enqueue(&stack, "download-image", &json!({ "generation_id": "no-url", "user_id": "user-123" })).await;
    let direct = [
        ("no-such-model", "replicate answered 404"),
        ("elsewhere", "https://evil.example:443 is not in ALLOWED_OUTPUT_HOSTS"),
        ("no-url", "payload: output_url is missing"),
    ];

    let answer = stack.post_drain().await.unwrap();
    assert_eq!(answer["errors"], json!(cases.len() + direct.len()), "{answer}\n{}", stack.logs().unwrap());
    for (id, message) in
        cases.iter().map(|(id, _, message)| (id, message)).chain(direct.iter().map(|(id, message)| (id, message)))
    {
        let generation = generation(&stack, id).await;
        assert_eq!(generation["status"], "failed", "{generation}");
        let found = generation["error_message"].as_str().unwrap();
        assert!(found.contains(message), "{id}: {found:?} does not say {message:?}");
    }
    assert_eq!(count(&stack, "select count(*) from images").await, 0);
    assert_eq!(
        count(&stack, "select count(*) from job_queue where attempt_number > 1 or status = 'processing'").await,
        0
    );
    stack.stop().await.unwrap();
}

/// An output that is not there may not be there yet: that is looked at for a minute.
#[tokio::test]
async fn an_output_that_is_not_there_is_looked_at_again() {
    let stack = start(settings(&[("POLL_INTERVAL_MS", "200")])).await;
    execute(&stack, "update job_types set backoff_base_seconds = 0.1, backoff_max_seconds = 0.1").await;
    stack.replicate().fail_next(Endpoint::File, Fault::Status(404), 2);
    enqueue(&stack, "generate-image", &generate("late", "a fox")).await;
    drain_until_done(&stack).await;
    assert_eq!(generation(&stack, "late").await["status"], "completed");

    enqueue(&stack, "generate-image", &generate("missing", "a fox [file:404]")).await;
    drain_until_done(&stack).await;
    let missing = generation(&stack, "missing").await;
    assert_eq!(missing["status"], "failed", "{missing}");
    assert!(missing["error_message"].as_str().unwrap().contains("output host answered 404"), "{missing}");
    stack.stop().await.unwrap();
}

/// What passes by itself is retried: an infrastructure failure, 5xx and lost connections at each place.
#[tokio::test]
async fn what_passes_by_itself_is_retried() {
    let stack = start(settings(&[("POLL_INTERVAL_MS", "200")])).await;
    execute(&stack, "update job_types set backoff_base_seconds = 1, backoff_max_seconds = 1").await;
    stack.replicate().fail_next(Endpoint::Get, Fault::Status(502), 1);
    stack.replicate().fail_next(Endpoint::Get, Fault::DropBefore, 1);
    stack.replicate().fail_next(Endpoint::File, Fault::DropAfter, 1);
    enqueue(&stack, "generate-image", &generate("interrupted", "a fox [fail-once:PA]")).await;
    enqueue(&stack, "generate-image", &generate("bad-gateway", "a goose")).await;
    enqueue(&stack, "generate-image", &generate("lost", "a hare")).await;
    enqueue(&stack, "generate-image", &generate("file", "a crow [file:500-once]")).await;
    drain_until_done(&stack).await;
    assert_eq!(
        count(&stack, "select count(*) from image_generations where status = 'completed'").await,
        4,
        "{}",
        stack.logs().unwrap()
    );
    assert_eq!(count(&stack, "select count(*) from images").await, 4);
    assert_eq!(stack.replicate().predictions().len(), 5, "only the interrupted one is made twice");
    stack.stop().await.unwrap();
}

/// A create whose answer is lost is looked up, not repeated.
#[tokio::test]
async fn a_create_whose_answer_is_lost_is_paid_once() {
    let stack = start(settings(&[("POLL_INTERVAL_MS", "200")])).await;
    execute(&stack, "update job_types set backoff_base_seconds = 1, backoff_max_seconds = 1").await;
    for fault in [Fault::DropAfter, Fault::StatusAfter(500), Fault::Garbage] {
        stack.replicate().fail_next(Endpoint::Create, fault, 1);
    }
    for animal in ["fox", "goose", "hare"] {
        enqueue(&stack, "generate-image", &generate(animal, animal)).await;
    }
    drain_until_done(&stack).await;
    assert_eq!(count(&stack, "select count(*) from images").await, 3);
    assert_eq!(stack.replicate().predictions().len(), 3);
    stack.stop().await.unwrap();
}

/// 401 and 402 pause the type with a reason, spend no attempt, and are shown; resumed, the job completes.
#[tokio::test]
async fn credentials_and_credit_pause_the_job_type() {
    let stack = start(settings(&[("POLL_INTERVAL_MS", "200")])).await;
    let id = enqueue(&stack, "generate-image", &generate("gen-1", "a fox")).await;
    for (mode, reason) in [(Mode::Unauthorized, "401"), (Mode::InsufficientCredit, "402")] {
        stack.replicate().set_mode(mode);
        stack.post_drain().await.unwrap();
        let job = job(&stack, &id).await;
        assert_eq!((&job["status"], &job["attempt_number"]), (&json!("pending"), &json!(0)), "{job}");
        let health = call(&stack, "GET", "/health", &[], None).await;
        let paused = &health.body["queue"]["paused"][0];
        assert_eq!(paused["job_type"], "generate-image", "{health:?}");
        assert!(paused["reason"].as_str().unwrap().contains(reason), "{health:?}");
        execute(&stack, "select resume_job_type('generate-image')").await;
    }
    stack.replicate().set_mode(Mode::Normal);
    assert_eq!(stack.post_drain().await.unwrap()["processed"], 2);
    stack.stop().await.unwrap();
}

/// A missing token is the same: paused with the reason, in health as missing.
#[tokio::test]
async fn a_missing_token_pauses_the_job_type() {
    let stack = start(settings(&[("REPLICATE_API_TOKEN", "")])).await;
    let id = enqueue(&stack, "generate-image", &generate("gen-1", "a fox")).await;
    stack.post_drain().await.unwrap();
    assert_eq!(job(&stack, &id).await["attempt_number"], 0);
    let health = call(&stack, "GET", "/health", &[], None).await;
    assert_eq!(health.body["queue"]["paused"][0]["reason"], "REPLICATE_API_TOKEN is not set", "{health:?}");
    assert_eq!(health.body["missing"][0], "REPLICATE_API_TOKEN is not set: generate-image jobs cannot run");
    stack.stop().await.unwrap();
}

/// 429 makes the whole type wait, wherever it says for how long; no attempt is spent.
#[tokio::test]
async fn a_rate_limit_makes_the_whole_type_wait() {
    let stack = start(settings(&[("POLL_INTERVAL_MS", "200"), ("MAX_PARALLEL_JOBS", "1")])).await;
    for fault in [Fault::ThrottledHeader(1), Fault::ThrottledBody(1), Fault::ThrottledText(1)] {
        stack.replicate().fail_next(Endpoint::Create, fault, 1);
    }
    for animal in ["fox", "goose"] {
        enqueue(&stack, "generate-image", &generate(animal, animal)).await;
    }
    let answer = stack.post_drain().await.unwrap();
    assert_eq!(
        (&answer["processed"], &answer["errors"]),
        (&json!(4), &json!(0)),
        "{answer}\n{}",
        stack.logs().unwrap()
    );
    let creates = stack.replicate().requests().iter().filter(|it| it.method == "POST").count();
    assert_eq!(creates, 5, "three were throttled, and held the other job back as well");
    assert_eq!(count(&stack, "select count(*) from job_queue where attempt_number <> 1").await, 0);
    stack.stop().await.unwrap();
}

/// Starts are counted by the claim, so that Replicate has nothing to throttle.
#[tokio::test]
async fn creates_stay_below_replicates_limit() {
    let replicate = replicate_stand_in::Options {
        creates: Rate { per_second: 2.0, burst: 12.0 },
        ..replicate_stand_in::Options::default()
    };
    let stack = start(local_stack::Options { replicate, ..settings(&[("POLL_INTERVAL_MS", "200")]) }).await;
    execute(&stack, "update job_types set starts_per_minute = 80 where job_type = 'generate-image'").await;
    for number in 0..24 {
        enqueue(&stack, "generate-image", &generate(&format!("gen-{number}"), "a fox")).await;
    }
    until(&stack, "all is done", async || {
        // Two at once, which do not know of each other.
        tokio::try_join!(stack.post_drain(), stack.post_drain()).unwrap();
        count(&stack, "select count(*) from images").await == 24
    })
    .await;
    let creates = stack.replicate().requests().into_iter().filter(|it| it.endpoint == Some(Endpoint::Create));
    let statuses: Vec<Option<u16>> = creates.map(|it| it.status).collect();
    assert_eq!(statuses, [Some(201); 24], "a create was throttled");
    stack.stop().await.unwrap();
}

/// A bucket that is not there is the operator's mistake; the sentence of Storage is the job's.
#[tokio::test]
async fn storage_that_refuses_fails_the_job() {
    let stack = start(settings(&[("STORAGE_BUCKET", "nowhere")])).await;
    let url = stack.replicate().serve_file("/a.png", "image/png", &include_bytes!("../fixtures/picture.png")[..]);
    let id = enqueue(&stack, "download-image", &download("gen-1", &url)).await;
    stack.post_drain().await.unwrap();
    let job = job(&stack, &id).await;
    assert_eq!(job["status"], "failed", "{job}");
    assert!(job["error_message"].as_str().unwrap().starts_with("storage answered 4"), "{job}");
    stack.stop().await.unwrap();
}

/// A large picture for a bucket that is not there: Storage answers in the middle of the upload.
#[tokio::test]
async fn storage_that_refuses_in_the_middle_of_an_upload_hangs_nothing() {
    let stack = start(settings(&[("STORAGE_BUCKET", "nowhere")])).await;
    execute(&stack, "update job_types set backoff_base_seconds = 1, backoff_max_seconds = 1").await;
    // As if it had gone after the create.
    stack.decide_fates(|path| match path.starts_with("/storage/v1/bucket/") {
        true => Fate::AnswerBefore(200, "{}"),
        false => Fate::PassOn,
    });
    enqueue(&stack, "generate-image", &generate("gen-1", "[huge:50MB]")).await;
    stack.post_drain().await.unwrap();
    let generation = generation(&stack, "gen-1").await;
    assert_eq!(generation["status"], "failed", "{generation}\n{}", stack.logs().unwrap());
    assert_eq!(stack.function().boots(), 1, "the function has crashed\n{}", stack.logs().unwrap());
    stack.stop().await.unwrap();
}

/// What the database refuses fails that job, and the drain goes on with the next.
#[tokio::test]
async fn a_settle_that_is_refused_fails_its_job_only() {
    let stack = start(settings(&[])).await;
    execute(&stack, "create unique index one_picture_a_user on images (user_id)").await;
    for id in ["gen-1", "gen-2"] {
        let url = stack.replicate().serve_file(
            &format!("/{id}.png"),
            "image/png",
            &include_bytes!("../fixtures/picture.png")[..],
        );
        enqueue(&stack, "download-image", &download(id, &url)).await;
    }
    let answer = stack.post_drain().await.unwrap();
    assert_eq!(
        (&answer["processed"], &answer["errors"]),
        (&json!(1), &json!(1)),
        "{answer}\n{}",
        stack.logs().unwrap()
    );
    let refused = row(&stack, "select to_jsonb(j) from job_queue j where status = 'failed'", &[]).await;
    assert!(refused["error_message"].as_str().unwrap().contains("one_picture_a_user"), "{refused}");
    stack.stop().await.unwrap();
}
