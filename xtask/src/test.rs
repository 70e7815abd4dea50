//! `cargo xtask test`: the rings of tests, from the worker alone to the shipped product.

mod report;
mod rings;

use std::time::Instant;

use anyhow::{Result, bail};
use clap::ValueEnum;

use report::Report;

pub use rings::crash_matrix;

/// In the order from the inside out.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum Ring {
    /// The worker against scripted conversations
    Unit,
    /// The SQL: pgTAP, sessions in parallel, and random operations against a model
    Db,
    /// The built wasm in both Denos
    Wasm,
    /// Everything together, killed and dropped at every step
    E2e,
    /// What the CLI pushes and uploads, served alone
    Ship,
}

/// Runs one ring, or all in order; a failed ring does not stop the next. Prints a table and the line
/// `N passed, N failed`. A ring that ran nothing is a failure; under `CI=true` so is a skipped test.
pub fn test(ring: Option<Ring>) -> Result<()> {
    let rings = match ring {
        Some(ring) => vec![ring],
        None => Ring::value_variants().to_vec(),
    };
    let mut reports = Vec::new();
    for ring in rings {
        let started = Instant::now();
        let mut report = Report::new(ring);
        println!("\n── {} ──", report.ring);
        if let Err(error) = rings::run(ring, &mut report) {
            report.fail(&format!("{error:#}"));
        }
        report.seconds = started.elapsed().as_secs_f64();
        reports.push(report);
    }
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    print!("\n{}", report::table(&reports));
    let passed: usize = reports.iter().map(|it| it.passed).sum();
    let skipped: usize = if ci { reports.iter().map(|it| it.skipped.len()).sum() } else { 0 };
    let mut failed: usize = reports.iter().map(|it| it.failed).sum::<usize>() + skipped;
    for report in reports.iter().filter(|it| it.passed + it.failed == 0) {
        println!("{}: nothing was run", report.ring);
        failed += 1;
    }
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        bail!("the tests failed");
    }
    Ok(())
}
