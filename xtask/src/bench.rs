//! `cargo xtask bench`: measures the resources that the platform rations, and checks them against bounds.
//!
//! Each bench publishes its results as comparisons (`report`); one with hard bounds then fails if it is outside them.

mod chart;
mod claims;
mod cold;
mod fair;
mod jobs;
mod memory;
mod pickup;
mod report;
mod spread;
mod sql;

use anyhow::{Result, ensure};
use clap::ValueEnum;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Bench {
    /// A claim's latency as the table grows
    Claims,
    /// Size of the wasm, and start of the function beside an empty one and a worker in TypeScript
    Cold,
    /// A small owner's wait beside one who has many jobs
    Fair,
    /// Jobs a second of the function's CPU, beside a worker in TypeScript
    Jobs,
    /// Memory that storing pictures of up to 50 MB takes, beside a worker in TypeScript
    Memory,
    /// Jobs a second in SQL, beside pg-boss and graphile-worker
    Sql,
    /// How long a job waits until a worker has claimed it
    Pickup,
}

impl Bench {
    /// The bench's name on the command line and in target/bench.
    fn name(self) -> String {
        self.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned())
    }

    fn run(self) -> Result<()> {
        match self {
            Bench::Claims => claims::bench(),
            Bench::Cold => cold::bench(),
            Bench::Fair => fair::bench(),
            Bench::Jobs => jobs::bench(),
            Bench::Memory => memory::bench(),
            Bench::Sql => sql::bench(),
            Bench::Pickup => pickup::bench(),
        }
    }
}

/// Runs one bench, or all of them one after the other, and draws the chart of all results once each has run. If a bench
/// is outside its bounds, fails after the others.
pub fn bench(only: Option<Bench>) -> Result<()> {
    crate::install::node_modules()?;
    let benches = only.map_or(Bench::value_variants().to_vec(), |only| vec![only]);
    let mut failed = Vec::new();
    for bench in benches {
        if let Err(error) = bench.run() {
            eprintln!("{}: {error:#}", bench.name());
            failed.push(bench.name());
        }
    }
    chart::draw()?;
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}
