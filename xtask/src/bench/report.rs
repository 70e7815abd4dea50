//! The benches' results in one form: printed, kept in target/bench/<bench>.json, and drawn by the chart.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use local_stack::Deno;
use serde::{Deserialize, Serialize};

use super::spread::{self, Spread};
use crate::command::{self, root};
use crate::node;

/// One measurement of process-jobs and of others.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Comparison {
    /// `start-up in Deno 2.1.4: CPU time to the first answer`
    pub what: String,
    pub unit: String,
    pub better: Better,
    /// In the order of the table and the chart.
    pub bars: Vec<Bar>,
    /// Names of the two bars whose ratio is stated: the first one's median over the second one's.
    pub ratio: Option<(String, String)>,
    /// The limit for the first bar's median.
    pub target: Option<f64>,
    /// True if the README's chart shows it.
    pub in_chart: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bar {
    pub name: String,
    pub spread: Spread,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    Higher,
    Lower,
}

/// The results of one bench, with machine and date.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub machine: String,
    /// `2026-11-25`, in UTC.
    pub date: String,
    pub comparisons: Vec<Comparison>,
}

impl Comparison {
    /// Has no ratio and no target, and is not in the chart.
    pub fn new<Name: Into<String>>(
        what: impl Into<String>,
        unit: &str,
        better: Better,
        bars: impl IntoIterator<Item = (Name, Spread)>,
    ) -> Comparison {
        let bars = bars.into_iter().map(|(name, spread)| Bar { name: name.into(), spread }).collect();
        Comparison {
            what: what.into(),
            unit: unit.to_owned(),
            better,
            bars,
            ratio: None,
            target: None,
            in_chart: false,
        }
    }

    /// States the ratio of `ours` to `other`, two names of bars.
    pub fn ratio_of(self, ours: &str, other: &str) -> Comparison {
        Comparison { ratio: Some((ours.to_owned(), other.to_owned())), ..self }
    }

    pub fn target(self, target: f64) -> Comparison {
        Comparison { target: Some(target), ..self }
    }

    pub fn in_chart(self) -> Comparison {
        Comparison { in_chart: true, ..self }
    }

    /// Not a number if there is no bar of that name.
    pub fn median(&self, name: &str) -> f64 {
        self.bars.iter().find(|bar| bar.name == name).map_or(f64::NAN, |bar| bar.spread.median)
    }

    /// The median of the bar `ours` over that of the bar `other`.
    pub fn ratio(&self, ours: &str, other: &str) -> f64 {
        self.median(ours) / self.median(other)
    }

    /// `0.45 × TypeScript worker`; `None` if the ratio is not finite.
    pub fn stated_ratio(&self) -> Option<String> {
        let (ours, other) = self.ratio.as_ref()?;
        let ratio = Some(self.ratio(ours, other)).filter(|ratio| ratio.is_finite())?;
        Some(format!("{} × {other}", spread::number(ratio)))
    }
}

/// Prints the comparisons, and writes them to target/bench/<bench>.json for the chart.
pub fn publish(bench: &str, comparisons: &[Comparison]) -> Result<()> {
    for comparison in comparisons {
        print(comparison);
    }
    let date = command::output(command::command("date").args(["-u", "+%F"]))?.trim().to_owned();
    let report = Report { machine: machine()?, date, comparisons: comparisons.to_vec() };
    let file = directory().join(format!("{bench}.json"));
    fs::create_dir_all(directory())?;
    fs::write(&file, serde_json::to_string_pretty(&report)? + "\n")
        .with_context(|| format!("cannot write {}", file.display()))
}

/// Reads the results that [`publish`] wrote for this bench; `None` if it has not run here.
pub fn read(bench: &str) -> Result<Option<Report>> {
    let file = directory().join(format!("{bench}.json"));
    if !file.exists() {
        return Ok(None);
    }
    let report = serde_json::from_str(&fs::read_to_string(&file)?);
    report.map(Some).with_context(|| format!("{} is of another version: run its bench again", file.display()))
}

fn directory() -> PathBuf {
    root().join("target/bench")
}

fn print(comparison: &Comparison) {
    let Comparison { what, unit, better, bars, target, .. } = comparison;
    let better = match better {
        Better::Higher => "more is better",
        Better::Lower => "less is better",
    };
    let stated = comparison.stated_ratio().map_or(String::new(), |ratio| format!("; {ratio}"));
    let target = target.map_or(String::new(), |target| format!("; target {}", spread::number(target)));
    println!("{what}, {unit}, median (least–most), {better}{stated}{target}");
    for Bar { name, spread } in bars {
        println!("  {name:<34} {spread}");
    }
    println!();
}

/// The processor, its cores, and the versions that the benches use.
fn machine() -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let processor = processor.map_or(std::env::consts::ARCH, |(_, name)| name);
    let postgres = local_stack::node::package(&format!("@embedded-postgres/{}", local_stack::node::platform()))?;
    let postgres = command::output(command::command(postgres.join("native/bin/postgres")).arg("--version"))?;
    let postgres = postgres.split_whitespace().last().unwrap_or_default().to_owned();
    let (hosted, latest) = (deno_version(Deno::V2_1_4)?, deno_version(Deno::Latest)?);
    Ok(format!("{cores} cores of {processor}, Deno {hosted} and {latest}, Postgres {postgres}"))
}

/// `2.1.4`
pub fn deno_version(deno: Deno) -> Result<String> {
    let printed = command::output(node::deno(deno)?.arg("--version"))?;
    Ok(printed.split_whitespace().nth(1).unwrap_or_default().to_owned())
}
