//! The queue as a state machine: thousands of random sequences of operations, and after each step of each
//!
//! - the call has answered, and every row of job_queue and job_types is, as a model of migrations/README.md says;
//! - no invariant is broken: queries that know nothing of the model, and look at the images too;
//! - before each claim, `seconds_until_next_job` has said when there is something to claim.
//!
//! Each sequence runs in a transaction that is rolled back. Time stands still in one, so it is moved by moving all
//! that is kept of it. A sequence that fails is shrunk to the shortest that does, and printed step by step.
//!
//! The sequences are the same in each run; proptest's environment variables ask for others or more:
//! `PROPTEST_RNG_SEED=7 PROPTEST_CASES=50000`.

mod coverage;
#[path = "../database.rs"]
mod database;
mod invariants;
mod model;
mod operation;
mod queue;
mod rows;

use std::cell::RefCell;
use std::panic::resume_unwind;
use std::thread;
use std::time::Instant;

use anyhow::{Result, ensure};
use proptest::test_runner::{Config, RngAlgorithm, RngSeed, TestCaseError, TestError, TestRunner};

use coverage::Coverage;
use database::Database;
use model::{Model, Seen};
use operation::{Operation, sequence};
use queue::Queue;
use rows::SECOND;

const SEQUENCES: u32 = 2_000;

/// Each with a database, a seed and its share of the sequences.
const SESSIONS: u32 = 2;

#[test]
fn every_sequence_of_operations_keeps_the_queue_as_it_should_be() {
    let started = Instant::now();
    let coverage = thread::scope(|scope| {
        let sessions: Vec<_> = (0..SESSIONS).map(|session| scope.spawn(move || explore(session))).collect();
        let joined = sessions.into_iter().map(|session| session.join().unwrap_or_else(|panic| resume_unwind(panic)));
        joined.fold(Coverage::default(), Coverage::and)
    });
    println!("{coverage}in {:.0} s", started.elapsed().as_secs_f64());
    if coverage.sequences >= SEQUENCES {
        coverage.assert_complete();
    }
}

fn explore(session: u32) -> Coverage {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let database = runtime.block_on(Database::create(&format!("state_machine_{session}")));
    let queue = runtime.block_on(async { Queue::new(database.session().await).await }).expect("a queue");
    let coverage = RefCell::new(Coverage::default());

    let mut runner = TestRunner::new(config(session));
    let ran = runner.run(&sequence(), |operations| {
        let mut trace = Vec::new();
        let ran = runtime.block_on(run(&queue, &operations, &mut coverage.borrow_mut(), &mut trace));
        ran.map_err(|error| TestCaseError::fail(format!("{}\n\n{error:#}", trace.join("\n"))))
    });
    let coverage = coverage.into_inner();
    match ran {
        Ok(()) => runtime.block_on(database.drop()),
        Err(TestError::Fail(reason, _)) => {
            panic!("sequence {} fails; the shortest like it:\n{reason}", coverage.failed.unwrap_or_default())
        }
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
    coverage
}

fn config(session: u32) -> Config {
    // ChaCha would take a third of the time without optimization.
    let mut config = Config { failure_persistence: None, rng_algorithm: RngAlgorithm::XorShift, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = SEQUENCES;
    }
    config.cases = config.cases.div_ceil(SESSIONS);
    let seed = match config.rng_seed {
        RngSeed::Random => 1,
        RngSeed::Fixed(seed) => seed,
    };
    config.rng_seed = RngSeed::Fixed(seed.wrapping_mul(u64::from(SESSIONS)) + u64::from(session));
    config
}

async fn run(queue: &Queue, operations: &[Operation], coverage: &mut Coverage, trace: &mut Vec<String>) -> Result<()> {
    queue.begin().await?;
    let ran = steps(queue, operations, coverage, trace).await;
    queue.roll_back().await?;
    coverage.sequences += 1;
    if ran.is_err() {
        coverage.failed.get_or_insert(coverage.sequences);
    }
    if coverage.sequences.is_multiple_of(20) {
        queue.vacuum().await?;
    }
    ran
}

async fn steps(
    queue: &Queue,
    operations: &[Operation],
    coverage: &mut Coverage,
    trace: &mut Vec<String>,
) -> Result<()> {
    let mut model = Model::new();
    for operation in operations {
        let aim = model.aim(operation);
        trace.push(format!("{:>4} s  {operation:?}{}", model.clock / SECOND, model.name(aim.job)));
        if let Operation::Pass { seconds } = operation {
            model.clock += i64::from(*seconds) * SECOND;
        }
        if let Operation::Claim { .. } = operation {
            let (answer, expected) = (queue.seconds_until_next().await?, model.seconds_until_next());
            let off = answer.unwrap_or(-1.0) - expected.unwrap_or(-1.0);
            ensure!(off.abs() < 1e-3, "seconds_until_next_job answers {answer:?}\n     not {expected:?}");
        }
        let answer = queue.take(operation, &aim, model.clock).await?;
        coverage.step(operation, &answer, &model.jobs);
        let (seen, broken) = queue.look(answer, model.clock).await?;
        ensure!(broken.is_empty(), "broken: {}", broken.join("\nbroken: "));
        let expected = model.take(operation, &aim, &seen)?;
        ensure!(seen.answer == expected, "it answered {:?}\n     not {expected:?}", seen.answer);
        compare(&model, &seen)?;
        model.turns = seen.turns;
    }
    coverage.count(queue.transitions().await?);
    Ok(())
}

fn compare(model: &Model, seen: &Seen) -> Result<()> {
    for id in model.jobs.keys().chain(seen.jobs.keys()) {
        let (expected, seen) = (model.jobs.get(id), seen.jobs.get(id));
        ensure!(seen == expected, "the row{} is {seen:?}\n     not {expected:?}", model.name(*id));
    }
    ensure!(seen.types == model.types, "the types are {:?}\n     not {:?}", seen.types, model.types);
    Ok(())
}
