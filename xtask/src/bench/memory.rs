//! How much memory the function takes to carry a 50 MB picture into Storage.

use anyhow::{Context, Result, ensure};
use local_stack::{Options, Stack};
use serde_json::json;

use super::report::{self, Better, Comparison};
use super::spread::Spread;

const ADDED_MAX: u64 = 40_000_000;
const PICTURE: i64 = 50_000_000;

pub fn bench() -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(measure())
}

async fn measure() -> Result<()> {
    let stack = Stack::start(Options::default()).await?;
    // Idle: loaded, and once through a whole drain with a small picture.
    run(&stack, "small", "a fox").await?;
    let idle = stack.function().peak_rss().await?;
    run(&stack, "large", "[huge:50MB]").await?;
    let peak = stack.function().peak_rss().await?;
    ensure!(stack.function().boots() == 1, "the function was started {} times", stack.function().boots());

    let sql = stack.sql().await?;
    let stored: i64 =
        sql.query_one("select file_size::bigint from images where generation_id = 'large'", &[]).await?.get(0);
    ensure!(stored >= PICTURE, "the picture stored has {stored} bytes");
    stack.stop().await?;

    let added = peak - idle;
    let bars = [("process-jobs", Spread::of([megabytes(added)]))];
    let what = "peak memory over idle, one picture of 50 MB";
    report::publish("memory", &[Comparison::new(what, "MB", Better::Lower, bars).target(megabytes(ADDED_MAX))])?;
    ensure!(added <= ADDED_MAX, "streaming a picture takes too much memory");
    Ok(())
}

/// Generates one picture and stores it, in one drain.
async fn run(stack: &Stack, generation_id: &str, prompt: &str) -> Result<()> {
    let payload = json!({
        "generation_id": generation_id, "user_id": "bench", "prompt": prompt,
        "model_id": "black-forest-labs/flux-schnell", "width": 1024, "height": 1024,
    });
    let sql = stack.sql().await?;
    sql.execute("select enqueue_job('generate-image', $1)", &[&payload]).await.context("cannot enqueue")?;
    let answer = stack.post_drain().await?;
    ensure!(answer["processed"] == 2 && answer["errors"] == 0, "the drain answered {answer}:\n{}", stack.logs()?);
    Ok(())
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
