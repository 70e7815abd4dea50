//! The memory that the function takes to carry pictures into Storage.

use anyhow::{Context, Result, ensure};
use local_stack::{Options, Stack};

use super::jobs::Worker;
use super::report::{self, Better, Comparison};
use super::spread::Spread;

const ROUNDS: usize = 3;
const SIZES_MEGABYTES: [usize; 3] = [1, 20, 50];
/// Pictures at once, in one drain.
const COUNTS: [usize; 2] = [1, 3];
/// Over idle, for one and for three pictures of 50 MB.
const TARGETS_MEGABYTES: [f64; 2] = [25.0, 60.0];
const MOST_MEGABYTES: [f64; 2] = [30.0, 60.0];

pub fn bench() -> Result<()> {
    println!("functions that have just started, {ROUNDS} rounds in turns; idle: after one small picture");
    let comparisons = tokio::runtime::Runtime::new()?.block_on(measure())?;
    report::publish("memory", &comparisons)?;
    for (comparison, most) in comparisons.iter().filter(|it| it.target.is_some()).zip(MOST_MEGABYTES) {
        let median = comparison.median(&Worker::ProcessJobs.to_string());
        ensure!(median <= most, "{}: {median:.1} MB, more than {most:.1}", comparison.what);
    }
    Ok(())
}

async fn measure() -> Result<Vec<Comparison>> {
    let workers = [Worker::ProcessJobs, Worker::Typescript];
    let mut stacks = Vec::new();
    for worker in workers {
        let (function_directory, function_env) = (worker.directory(), worker.env()?);
        stacks.push(Stack::start(Options { function_directory, function_env, ..Options::default() }).await?);
    }
    let mut comparisons = Vec::new();
    for size in SIZES_MEGABYTES {
        for (count, target) in COUNTS.into_iter().zip(TARGETS_MEGABYTES) {
            let mut added = workers.map(|_| Vec::new());
            for _ in 0..ROUNDS {
                for ((stack, worker), added) in stacks.iter().zip(workers).zip(&mut added) {
                    let megabytes = added_megabytes(stack, size * 1_000_000, count).await;
                    added.push(megabytes.with_context(|| format!("{count} of {size} MB by {worker}"))?);
                }
            }
            let at_once = if count == 1 { "one picture".to_owned() } else { format!("{count} pictures at once") };
            let bars = workers.map(|worker| worker.to_string()).into_iter().zip(added.map(Spread::of));
            let what = format!("memory that {at_once} of {size} MB takes");
            let comparison = Comparison::new(what, "MB", Better::Lower, bars)
                .ratio_of(&Worker::ProcessJobs.to_string(), &Worker::Typescript.to_string());
            comparisons.push(if size == 50 { comparison.target(target).in_chart() } else { comparison });
        }
    }
    for stack in stacks {
        stack.stop().await?;
    }
    Ok(comparisons)
}

/// Megabytes from the peak of a fresh function after one small picture to the peak after these pictures.
async fn added_megabytes(stack: &Stack, bytes: usize, count: usize) -> Result<f64> {
    stack.function().kill().await?;
    let boots = stack.function().boots();
    drain(stack, 20_000, 1).await?;
    let idle = stack.function().peak_rss().await?;
    drain(stack, bytes, count).await?;
    let peak = stack.function().peak_rss().await?;
    ensure!(stack.function().boots() == boots + 1, "the function was started anew on the way");
    Ok((peak - idle) as f64 / 1e6)
}

/// Stores `count` pictures of this size in one drain.
async fn drain(stack: &Stack, bytes: usize, count: usize) -> Result<()> {
    let mut picture = include_bytes!("../../../tests/fixtures/picture.png").to_vec();
    picture.resize(bytes, 0);
    let url = stack.replicate().serve_file("/picture.png", "image/png", picture);
    let sql = stack.sql().await?;
    let enqueue = "insert into job_queue (job_type, payload) select 'download-image', jsonb_build_object(
        'generation_id', gen_random_uuid(), 'user_id', 'bench', 'output_url', $1::text) from generate_series(1, $2::bigint)";
    sql.execute(enqueue, &[&url, &(count as i64)]).await.context("cannot enqueue")?;
    let answer = stack.post_drain().await?;
    ensure!(answer["processed"] == count, "the drain answered {answer}:\n{}", stack.logs()?);
    let stored: i64 = sql
        .query_one("select (result ->> 'file_size')::bigint from job_queue order by completed_at desc limit 1", &[])
        .await?
        .get(0);
    ensure!(stored == bytes as i64, "the picture stored has {stored} bytes");
    Ok(())
}
