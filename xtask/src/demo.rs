//! `cargo xtask demo`: from a bare checkout to pictures.

mod display;

use std::fs;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use local_stack::{Options, Stack};
use replicate_stand_in::Options as Replicate;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::command::root;
use crate::{dev, install};
use display::Display;

/// One job and its expected outcome.
struct Job {
    /// The generation's id.
    name: &'static str,
    model: &'static str,
    prompt: &'static str,
    announced: &'static str,
    attempts: i32,
    predictions: usize,
    /// A part of the expected error; `None`: a picture is expected.
    error: Option<&'static str>,
}

/// The words in brackets script the stand-in of Replicate.
const JOBS: &[Job] = &[
    Job {
        name: "lighthouse",
        model: "black-forest-labs/flux-schnell",
        prompt: "a lighthouse in the morning mist",
        announced: "a picture",
        attempts: 1,
        predictions: 1,
        error: None,
    },
    Job {
        name: "harbour",
        model: "google/imagen-4-fast",
        prompt: "a harbour at noon, watercolour",
        announced: "a picture by another model",
        attempts: 1,
        predictions: 1,
        error: None,
    },
    Job {
        name: "refused",
        model: "black-forest-labs/flux-schnell",
        prompt: "something Replicate flags [fail:nsfw]",
        announced: "fails for its prompt, is not tried again",
        attempts: 1,
        predictions: 1,
        error: Some("E005"),
    },
    Job {
        name: "persistent",
        model: "black-forest-labs/flux-schnell",
        prompt: "a storm over the sea [fail-once:PA]",
        announced: "is interrupted, succeeds on its second attempt",
        attempts: 2,
        predictions: 2,
        error: None,
    },
];

/// The state of a job.
struct State {
    /// The generation's: pending, queued, processing, downloading, completed, failed or cancelled.
    status: String,
    /// Attempts begun; a parked one counts only once its work is done.
    attempts: i32,
    failed_attempts: i32,
    /// 0 to 100
    progress: i16,
    error: Option<String>,
}

impl State {
    fn is_final(&self) -> bool {
        matches!(self.status.as_str(), "completed" | "failed" | "cancelled")
    }
}

/// The outcome of a job.
struct Outcome {
    job: &'static Job,
    state: State,
    predictions: usize,
    /// The path of the saved picture, relative to the checkout, and its size in bytes.
    picture: Option<(String, usize)>,
    /// The time from its enqueuing to its end.
    seconds: f64,
}

/// Whose the jobs are, in the gallery.
const EMAIL: &str = "demo@example.com";
const PASSWORD: &str = "lighthouse";
/// What everybody may ask for there: at most five generations at once, a hundred a day, and five dollars a month.
const LIMITS: &str =
    "insert into user_limits (applies_to, max_open, max_per_day, max_cost_per_month) values ('all', 5, 100, 5)";
/// The interval of drains.
const TICK: Duration = Duration::from_millis(500);

/// Fails if a job's outcome is not the announced one. With `keep` the stack runs on until Ctrl-C.
pub fn run(keep: bool) -> Result<()> {
    install::node_modules()?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let started = Instant::now();
        let replicate = Replicate {
            starting: Duration::from_millis(500),
            processing: Duration::from_millis(2500),
            ..Replicate::default()
        };
        let site = Some(local_stack::gallery()?);
        let stack = Stack::start(Options { replicate, site, tell: Some(dev::waits_for), ..Options::default() }).await?;
        let result = demonstrate(&stack, started).await;
        if keep {
            if let Err(error) = &result {
                println!("{error:#}");
            }
            dev::serve(stack, Some(TICK)).await?;
        } else {
            println!("The gallery ends with this; `cargo xtask demo --keep` leaves it open.");
            stack.stop().await?;
        }
        result
    })
}

async fn demonstrate(stack: &Stack, started: Instant) -> Result<()> {
    let database = stack.sql().await?;
    database.batch_execute(LIMITS).await?;
    let session = stack.sign_up(EMAIL, PASSWORD).await?;
    let user_id = &session["user"]["id"];
    println!("Ready after {:.1} s.\n\n  The gallery      {}/", started.elapsed().as_secs_f64(), stack.api_url());
    println!("  sign in as       {EMAIL}, password {PASSWORD}, or sign up\n\nEnqueued:\n");
    open_gallery(stack, &session);
    for job in JOBS {
        let payload = json!({
            "generation_id": job.name, "user_id": user_id, "prompt": job.prompt, "model_id": job.model,
            "width": 1024, "height": 1024
        });
        database.execute("select enqueue_job('generate-image', $1)", &[&payload]).await?;
        println!("  {:<12} {:<32} {}", job.name, job.model, job.announced);
    }
    println!();

    let states = tokio::select! {
        states = watch(&database) => states,
        error = drain(stack) => Err(error),
    };
    let states = match states {
        Ok(states) => states,
        Err(error) => bail!("{error:#}; the logs:\n{}", stack.logs()?),
    };

    let mut outcomes = Vec::new();
    for (job, state) in JOBS.iter().zip(states) {
        outcomes.push(outcome(stack, &database, job, state).await?);
    }
    println!("\n{}", table(&outcomes));
    let surprises: Vec<String> = outcomes.iter().filter_map(surprise).collect();
    ensure!(surprises.is_empty(), "not as announced: {}", surprises.join("; "));
    println!(
        "All came out as announced, after {:.1} s. Storage serves what Replicate gave, byte for byte.\n\
         See them: {}",
        started.elapsed().as_secs_f64(),
        write_sheet(&outcomes)?.display()
    );
    Ok(())
}

/// Runs the worker repeatedly, as pg_cron does. Returns when a call fails.
async fn drain(stack: &Stack) -> anyhow::Error {
    loop {
        if let Err(error) = stack.post_drain().await {
            return error;
        }
        tokio::time::sleep(TICK).await;
    }
}

/// Opens it in a browser if somebody is looking, signed in as by a link in a mail.
fn open_gallery(stack: &Stack, session: &Value) {
    let has_display = cfg!(target_os = "macos")
        || ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some_and(|it| !it.is_empty()));
    if !has_display || !std::io::stdout().is_terminal() {
        return;
    }
    let text = |name: &str| session[name].as_str().unwrap_or_default();
    let url = format!(
        "{}/#access_token={}&refresh_token={}&expires_in={}&token_type=bearer",
        stack.api_url(),
        text("access_token"),
        text("refresh_token"),
        session["expires_in"]
    );
    let open = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let quiet = || Stdio::null();
    // Where there is no browser, the address is on the terminal.
    let _ = Command::new(open).arg(url).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn();
}

/// Shows the progress of the jobs until all have ended.
async fn watch(database: &Client) -> Result<Vec<State>> {
    const PATIENCE: Duration = Duration::from_secs(90);
    let started = Instant::now();
    let mut display = Display::new(JOBS.iter().map(|job| job.name));
    loop {
        let mut states = Vec::new();
        for (index, job) in JOBS.iter().enumerate() {
            let state = state(database, job).await?;
            display.show(index, &state);
            states.push(state);
        }
        if states.iter().all(State::is_final) {
            return Ok(states);
        }
        ensure!(started.elapsed() < PATIENCE, "the jobs have not ended within {} s", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn state(database: &Client, job: &Job) -> Result<State> {
    let row = database
        .query_one(
            "select coalesce(g.status, j.status), j.attempt_number, jsonb_array_length(j.errors),
                    coalesce(j.progress, 0::smallint), g.error_message
             from job_queue j left join image_generations g on g.id = j.payload->>'generation_id'
             where j.job_type = 'generate-image' and j.payload->>'generation_id' = $1",
            &[&job.name],
        )
        .await?;
    Ok(State {
        status: row.get(0),
        attempts: row.get(1),
        failed_attempts: row.get(2),
        progress: row.get(3),
        error: row.get(4),
    })
}

async fn outcome(stack: &Stack, database: &Client, job: &'static Job, state: State) -> Result<Outcome> {
    let predictions = stack.replicate().predictions().iter().filter(|it| it.input["prompt"] == job.prompt).count();
    let picture = match state.status.as_str() {
        "completed" => Some(save(database, job).await?),
        _ => None,
    };
    let seconds = "select extract(epoch from max(completed_at) - min(created_at))::float8 from job_queue
        where payload->>'generation_id' = $1";
    let seconds = database.query_one(seconds, &[&job.name]).await?.get(0);
    Ok(Outcome { job, state, predictions, picture, seconds })
}

/// Saves the picture that Storage serves, after checking that it equals the one from Replicate.
async fn save(database: &Client, job: &Job) -> Result<(String, usize)> {
    let row = database
        .query_one(
            "select i.public_url, i.filename, d.payload->>'output_url'
             from images i join job_queue d on d.job_type = 'download-image' and d.payload->>'generation_id' = i.generation_id
             where i.generation_id = $1",
            &[&job.name],
        )
        .await
        .with_context(|| format!("{} has no image", job.name))?;
    let (stored, filename, given): (String, String, String) = (row.get(0), row.get(1), row.get(2));
    let bytes = fetch(&stored).await?;
    ensure!(bytes == fetch(&given).await?, "{stored} does not serve what {given} gave");
    let directory = root().join("target/demo");
    fs::create_dir_all(&directory)?;
    fs::write(directory.join(&filename), &bytes)?;
    Ok((format!("target/demo/{filename}"), bytes.len()))
}

/// Writes a page with the pictures, for a browser.
fn write_sheet(outcomes: &[Outcome]) -> Result<PathBuf> {
    let mut page = String::from(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>process-jobs: the demo</title>\n<style>\n\
         body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }\n\
         main { display: grid; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); gap: 1.5rem }\n\
         img { width: 100%; border-radius: 8px } figure { margin: 0 } small { color: #666 }\n\
         </style>\n<h1>process-jobs: the demo</h1>\n<main>\n",
    );
    for Outcome { job, state, picture, seconds, .. } in outcomes {
        let shown = match picture {
            Some((path, _)) => format!("<img alt=\"\" src=\"{}\">", path.trim_start_matches("target/demo/")),
            None => format!("<p>{}</p>", escaped(state.error.as_deref().unwrap_or_default())),
        };
        let attempts =
            if state.attempts == 1 { "1 attempt".to_owned() } else { format!("{} attempts", state.attempts) };
        page.push_str(&format!(
            "<figure>{shown}<figcaption>{}<br><small>{}, {}, {attempts}, {seconds:.1} s</small></figcaption></figure>\n",
            escaped(job.prompt),
            escaped(job.model),
            state.status
        ));
    }
    page.push_str("</main>\n");
    let path = root().join("target/demo/index.html");
    fs::create_dir_all(root().join("target/demo"))?;
    fs::write(&path, page)?;
    Ok(path)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

async fn fetch(url: &str) -> Result<Vec<u8>> {
    let answer = reqwest::get(url).await?.error_for_status()?;
    Ok(answer.bytes().await?.to_vec())
}

fn table(outcomes: &[Outcome]) -> String {
    let mut table = format!(
        "  {:<12} {:<10} {:>8} {:>12}  {:<32} {:>10}\n",
        "job", "status", "attempts", "predictions", "picture", "bytes"
    );
    for Outcome { job, state, predictions, picture, .. } in outcomes {
        let line = format!("  {:<12} {:<10} {:>8} {predictions:>12}", job.name, state.status, state.attempts);
        let rest = match picture {
            Some((path, bytes)) => format!("{path:<32} {bytes:>10}"),
            None => state.error.clone().unwrap_or_default(),
        };
        table.push_str(&format!("{line}  {rest}\n"));
    }
    table
}

/// Describes an outcome that is not the announced one.
fn surprise(outcome: &Outcome) -> Option<String> {
    let Outcome { job, state, predictions, .. } = outcome;
    let error = state.error.as_deref().unwrap_or_default();
    let as_announced = match job.error {
        None => state.status == "completed",
        Some(words) => state.status == "failed" && error.contains(words),
    };
    let counts = state.attempts == job.attempts && *predictions == job.predictions;
    (!as_announced || !counts).then(|| {
        format!(
            "{} is {} after {} attempt(s) and {predictions} prediction(s) {error}",
            job.name, state.status, state.attempts
        )
    })
}
