//! `cargo xtask bench`: what the platform rations, measured, with the bounds we hold ourselves to.

mod cold;
mod memory;

use anyhow::Result;
use clap::ValueEnum;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Bench {
    /// Size of the wasm, and start of the function beside an empty one and one with supabase-js
    Cold,
    /// Memory that streaming a 50 MB picture takes
    Memory,
}

/// Prints what was measured; an error when it is out of bounds.
pub fn bench(bench: Bench) -> Result<()> {
    match bench {
        Bench::Cold => cold::bench(),
        Bench::Memory => memory::bench(),
    }
}
