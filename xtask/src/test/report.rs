//! The result of a ring, read from the output of test runners.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::Ring;

pub struct Report {
    pub ring: String,
    pub passed: usize,
    pub failed: usize,
    /// The reasons, one entry per skipped test.
    pub skipped: Vec<String>,
    pub seconds: f64,
}

impl Report {
    pub fn new(ring: Ring) -> Report {
        let ring = ring.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        Report { ring, passed: 0, failed: 0, skipped: Vec::new(), seconds: 0.0 }
    }

    /// Counts a failure that no test runner reported.
    pub fn fail(&mut self, why: &str) {
        eprintln!("{}: {why}", self.ring);
        self.failed += 1;
    }

    /// Runs a test runner, shows its output and adds its results line by line with `read`. A runner that fails without
    /// a failed test (it did not compile, it crashed) or that ran no test counts as one failure.
    pub fn runner(&mut self, command: &mut Command, read: fn(&mut Report, &str)) -> Result<()> {
        let (passed, failed) = (self.passed, self.failed);
        let mut child = command
            .env("NO_COLOR", "1")
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let output = child.stdout.take().context("the runner has no output")?;
        for line in BufReader::new(output).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            writeln!(std::io::stdout(), "{line}")?;
            read(self, line.trim_end());
        }
        let status = child.wait()?;
        if !status.success() && self.failed == failed {
            self.fail(&format!("{command:?} ended with {status}"));
        } else if status.success() && (self.passed, self.failed) == (passed, failed) {
            self.fail(&format!("{command:?} ran no test"));
        }
        Ok(())
    }
}

/// Reads Rust's test harness: `test result: ok. 3 passed; 0 failed; 1 ignored; …`, `test name ... ignored, why`.
pub fn cargo(report: &mut Report, line: &str) {
    if let Some(summary) = line.strip_prefix("test result: ") {
        report.passed += count(summary, "passed");
        report.failed += count(summary, "failed");
    } else if let Some((name, why)) = line.strip_prefix("test ").and_then(|test| test.split_once(" ... ignored")) {
        report.skipped.push(format!("{name}{why}"));
    }
}

/// Reads Deno's: `ok | 3 passed | 0 failed | 1 ignored (12ms)`, `name ... ignored (0ms)`.
pub fn deno(report: &mut Report, line: &str) {
    if line.starts_with("ok | ") || line.starts_with("FAILED | ") {
        report.passed += count(line, "passed");
        report.failed += count(line, "failed");
    } else if let Some((name, _)) = line.split_once(" ... ignored") {
        report.skipped.push(name.to_owned());
    }
}

/// Reads pg_prove's verbose output: the TAP of each file, then a summary of the files with errors:
/// `a.sql (Wstat: 768 (exited 3) Tests: 1 Failed: 0)` is a file that ended early or off its plan.
pub fn tap(report: &mut Report, line: &str) {
    if line.contains(" (Wstat: ") && line.ends_with(" Failed: 0)")
        || line.starts_with("not ok ") && !line.contains("# TODO")
    {
        report.failed += 1;
    } else if line.starts_with("ok ") {
        match line.split_once("# SKIP") {
            Some((_, why)) => report.skipped.push(why.trim().to_owned()),
            None => report.passed += 1,
        }
    }
}

/// The number before `word`; 0 if there is none.
fn count(line: &str, word: &str) -> usize {
    let words: Vec<&str> = line.split([' ', ';', '(', ')']).filter(|word| !word.is_empty()).collect();
    words.windows(2).find(|pair| pair[1] == word).and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}

/// One row per ring, and below them the reasons of the skipped tests.
pub fn table(reports: &[Report]) -> String {
    let mut table = format!("{:<6} {:>7} {:>7} {:>8} {:>8}\n", "ring", "passed", "failed", "skipped", "seconds");
    for it in reports {
        let skipped = it.skipped.len();
        table += &format!("{:<6} {:>7} {:>7} {skipped:>8} {:>8.1}\n", it.ring, it.passed, it.failed, it.seconds);
    }
    for it in reports {
        for why in &it.skipped {
            table += &format!("{} skipped {why}\n", it.ring);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &str, read: fn(&mut Report, &str)) -> (usize, usize, Vec<String>) {
        let mut report = Report::new(Ring::Unit);
        lines.lines().for_each(|line| read(&mut report, line));
        (report.passed, report.failed, report.skipped)
    }

    #[test]
    fn rust_harness_output_is_counted() {
        let lines = "test a ... ok\ntest b ... ignored, no Postgres\n\
                     test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
                     test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(read(lines, cargo), (7, 2, vec!["b, no Postgres".to_owned()]));
    }

    #[test]
    fn deno_output_is_counted() {
        let lines = "drain ... ok (1ms)\nhuge ... ignored (0ms)\n\nFAILED | 3 passed | 1 failed | 1 ignored (12ms)";
        assert_eq!(read(lines, deno), (3, 1, vec!["huge".to_owned()]));
    }

    #[test]
    fn tap_is_counted() {
        let lines = "ok 1 - a\nnot ok 2 - b\nok 3 # SKIP no pg_cron\nnot ok 4 - c # TODO later\n# ok 5\n1..4\n\
                     tests/db/a.sql   (Wstat: 0 Tests: 4 Failed: 1)\n\
                     tests/db/b.sql   (Wstat: 768 (exited 3) Tests: 1 Failed: 0)";
        assert_eq!(read(lines, tap), (1, 2, vec!["no pg_cron".to_owned()]));
    }
}
