//! Jobs per second that SQL claims and completes, compared with two queues that do the same from Node, and with the
//! least possible cost.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use local_stack::{Cluster, PostgresKind, migrate};
use serde::Deserialize;
use serde_json::json;

use super::report::{self, Better, Comparison};
use super::spread::Spread;
use crate::command::{command, output, root, run};

const ROUNDS: usize = 3;
/// The length of one measurement, including the fifth that is not counted.
const SECONDS: f64 = 1.2;
const BATCHES: [usize; 3] = [1, 10, 100];
const SESSIONS: [usize; 3] = [1, 4, 16];

/// The wanted ratios: to the faster of the two others, with one job a call and with a hundred; to the floor.
const ONE_LEAST: f64 = 2.0;
const HUNDRED_LEAST: f64 = 1.0;
const FLOOR_LEAST: f64 = 0.6;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Contender {
    /// `exchange_jobs`, as the worker calls it
    ProcessJobs,
    /// `claim_next_job`, and `complete_job` for each
    ByHand,
    PgBoss,
    PgBossDefault,
    GraphileWorker,
    GraphileWorkerDefault,
    /// Two bare statements on `job_queue`
    BareJobQueue,
    /// Two bare statements on a table without anything else
    Floor,
}

use Contender::{
    BareJobQueue, ByHand, Floor, GraphileWorker, GraphileWorkerDefault, PgBoss, PgBossDefault, ProcessJobs,
};

impl Contender {
    const ALL: [Contender; 8] =
        [ProcessJobs, ByHand, PgBoss, PgBossDefault, GraphileWorker, GraphileWorkerDefault, BareJobQueue, Floor];

    fn title(self) -> &'static str {
        match self {
            ProcessJobs => "process-jobs",
            ByHand => "claim + complete",
            PgBoss => "pg-boss",
            PgBossDefault => "pg-boss, defaults",
            GraphileWorker => "graphile-worker",
            GraphileWorkerDefault => "graphile, defaults",
            BareJobQueue => "bare job_queue",
            Floor => "floor",
        }
    }

    /// Its file in sql/, which also names its database, and its name in that file.
    fn script(self) -> (&'static str, &'static str) {
        match self {
            ProcessJobs => ("process_jobs", "exchange"),
            ByHand => ("process_jobs", "by-hand"),
            PgBoss => ("pg_boss", "fastest"),
            PgBossDefault => ("pg_boss", "default"),
            GraphileWorker => ("graphile_worker", "fastest"),
            GraphileWorkerDefault => ("graphile_worker", "default"),
            BareJobQueue => ("process_jobs", "bare"),
            Floor => ("floor", ""),
        }
    }

    /// Contenders that cannot be the best are measured only in the most telling cells, to save time.
    fn takes_part(self, cell: Cell) -> bool {
        match self {
            ProcessJobs | PgBoss | GraphileWorker | BareJobQueue | Floor => true,
            ByHand => !cell.durable && cell.batch == 1,
            PgBossDefault => !cell.durable && cell.sessions == 4,
            // It has no batches.
            GraphileWorkerDefault => !cell.durable && cell.sessions == 4 && cell.batch == 1,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    postgres: PostgresKind,
    /// True if a commit waits for the disk.
    durable: bool,
    batch: usize,
    sessions: usize,
}

struct Row {
    cell: Cell,
    jobs_per_second: BTreeMap<Contender, Spread>,
    /// The ratios of each round, whose measurements follow each other.
    of_the_best: Spread,
    of_the_floor: Spread,
}

impl Row {
    fn comparison(&self) -> Comparison {
        let Cell { postgres, durable, batch, sessions } = self.cell;
        let version = if postgres == PostgresKind::System { ", PostgreSQL 15" } else { "" };
        let disk = if durable { ", commits wait for the disk" } else { "" };
        let what = format!("claim and complete, {batch} a call, {sessions} sessions{version}{disk}");
        let bars = self.jobs_per_second.iter().map(|(contender, spread)| (contender.title(), *spread));
        let comparison = Comparison::new(what, "jobs/s", Better::Higher, bars);
        let faster = [PgBoss, GraphileWorker].map(Contender::title);
        let best = if comparison.ratio(faster[0], faster[1]) > 1.0 { faster[0] } else { faster[1] };
        let comparison = comparison.ratio_of(ProcessJobs.title(), best);
        if version.is_empty() && !durable && sessions == 4 && batch != 10 { comparison.in_chart() } else { comparison }
    }
}

#[derive(Deserialize)]
struct Measurement {
    jobs_per_second: f64,
}

pub fn bench() -> Result<()> {
    let directory = root().join("target/bench/sql");
    install(&directory)?;
    let rows = tokio::runtime::Runtime::new()?.block_on(measure(&directory))?;

    println!(
        "no-op jobs; Postgres 17, or 15 where it says so, with wal_level minimal and with fsync, synchronous_commit and full_page_writes off,"
    );
    println!("or on where commits wait for the disk; {ROUNDS} rounds in turns");
    report::publish("sql", &rows.iter().map(Row::comparison).collect::<Vec<_>>())?;
    for (batch, best_least) in [(1, Some(ONE_LEAST)), (10, None), (100, Some(HUNDRED_LEAST))] {
        let least = |ratio: fn(&Row) -> Spread| {
            let rows = rows.iter().filter(|row| row.cell.batch == batch);
            rows.map(|row| ratio(row).median).fold(f64::INFINITY, f64::min)
        };
        let (best, floor) = (least(|row| row.of_the_best), least(|row| row.of_the_floor));
        let wanted = best_least.map_or(String::new(), |it| format!(" (wanted: {it})"));
        println!(
            "batch {batch:>3}: at least {best:.2} of the best{wanted}, {floor:.2} of the floor (wanted: {FLOOR_LEAST})"
        );
    }
    Ok(())
}

/// Copies the scripts into an uncommitted directory and installs their packages there: only this bench needs them.
fn install(directory: &Path) -> Result<()> {
    let source = root().join("xtask/src/bench/sql");
    fs::create_dir_all(directory)?;
    for entry in fs::read_dir(&source)? {
        let entry = entry?;
        fs::copy(entry.path(), directory.join(entry.file_name()))?;
    }
    // pg-boss demands Node 22 but runs with 20.
    run(command("npm")
        .args(["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(directory))
}

async fn measure(directory: &Path) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    use PostgresKind::{Embedded, System};
    for (postgres, durable) in [(Embedded, false), (System, false), (Embedded, true)] {
        // Without the disk: on most machines it differs more between two minutes than the contenders do.
        let disk = if durable { "on" } else { "off" };
        let settings =
            [("fsync", disk), ("synchronous_commit", disk), ("full_page_writes", disk), ("max_connections", "600")];
        let cluster = Cluster::start(postgres, &settings).await?;
        for database in ["process_jobs", "pg_boss", "graphile_worker", "floor"] {
            cluster.create_database(database, None).await?;
        }
        migrate(&mut cluster.connect("process_jobs").await?).await?;

        let cells =
            BATCHES.iter().flat_map(|&batch| SESSIONS.map(|sessions| Cell { postgres, durable, batch, sessions }));
        let cells = cells.filter(|cell| !durable || (cell.batch != 10 && cell.sessions == 4));
        let mut rounds: Vec<(Cell, Vec<Round>)> = cells.map(|cell| (cell, Vec::new())).collect();
        for _ in 0..ROUNDS {
            for (cell, rounds) in &mut rounds {
                let round = measure_cell(&cluster, directory, *cell, rounds.last())?;
                rounds.push(round);
            }
        }
        rows.extend(rounds.into_iter().map(|(cell, rounds)| row(cell, &rounds)));
    }
    Ok(rows)
}

/// Jobs per second of each contender that takes part.
type Round = BTreeMap<Contender, f64>;

fn measure_cell(cluster: &Cluster, directory: &Path, cell: Cell, last: Option<&Round>) -> Result<Round> {
    let mut round = Round::new();
    for contender in Contender::ALL.into_iter().filter(|contender| contender.takes_part(cell)) {
        // The first round expects 1000, 3162 and 10,000 jobs a second.
        let expected = last.map_or(1000.0 * (cell.batch as f64).sqrt(), |round| round[&contender]);
        let (script, variant) = contender.script();
        let asked = json!({
            "url": cluster.url(script),
            "variant": variant,
            "batch": cell.batch,
            "sessions": cell.sessions,
            "jobs": (expected * SECONDS) as usize,
        });
        let mut node = command("node");
        node.arg(format!("{script}.mjs")).arg(asked.to_string()).current_dir(directory);
        let printed = output(&mut node).with_context(|| format!("{contender:?} in {cell:?}"))?;
        let line = printed.lines().last().unwrap_or_default();
        let measurement: Measurement =
            serde_json::from_str(line).with_context(|| format!("{contender:?} in {cell:?} printed {line:?}"))?;
        round.insert(contender, measurement.jobs_per_second);
    }
    Ok(round)
}

fn row(cell: Cell, rounds: &[Round]) -> Row {
    let contenders = Contender::ALL.into_iter().filter(|contender| contender.takes_part(cell));
    let ratios = |others: &[Contender]| {
        Spread::of(rounds.iter().map(|round| {
            let best = others.iter().filter_map(|other| round.get(other)).copied().fold(0.0, f64::max);
            round[&ProcessJobs] / best
        }))
    };
    Row {
        cell,
        jobs_per_second: contenders.map(|it| (it, Spread::of(rounds.iter().map(|round| round[&it])))).collect(),
        of_the_best: ratios(&[PgBoss, PgBossDefault, GraphileWorker, GraphileWorkerDefault]),
        of_the_floor: ratios(&[Floor]),
    }
}
