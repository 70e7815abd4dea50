//! `cargo xtask bench`: what the platform rations, measured, with the bounds we hold ourselves to.

mod cold;
mod jobs;
mod memory;
mod spread;
mod sql;

use anyhow::Result;
use clap::ValueEnum;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Bench {
    /// Size of the wasm, and start of the function beside an empty one and one with supabase-js
    Cold,
    /// Jobs a second of the function's CPU, beside a worker in TypeScript
    Jobs,
    /// Memory that streaming a 50 MB picture takes
    Memory,
    /// Jobs a second in SQL, beside pg-boss and graphile-worker
    Sql,
}

/// Prints what was measured; an error when it is out of bounds.
pub fn bench(bench: Bench) -> Result<()> {
    match bench {
        Bench::Cold => cold::bench(),
        Bench::Jobs => jobs::bench(),
        Bench::Memory => memory::bench(),
        Bench::Sql => sql::bench(),
    }
}
