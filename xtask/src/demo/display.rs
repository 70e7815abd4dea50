//! The jobs' progress: one bar per job in a terminal, a line per change elsewhere.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::State;

pub struct Display {
    started: Instant,
    /// `None` if standard output is not a terminal.
    bars: Option<Vec<ProgressBar>>,
    rows: Vec<Row>,
}

struct Row {
    name: &'static str,
    shown: String,
}

impl Display {
    pub fn new(names: impl Iterator<Item = &'static str>) -> Display {
        let rows: Vec<Row> = names.map(|name| Row { name, shown: String::new() }).collect();
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
        let bars = terminal.then(|| {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
            rows.iter().map(|row| all.add(bar(row.name))).collect()
        });
        Display { started: Instant::now(), bars, rows }
    }

    pub fn show(&mut self, index: usize, state: &State) {
        let Some(row) = self.rows.get_mut(index) else { return };
        let words = match state.failed_attempts {
            0 => state.status.clone(),
            _ if state.status == "failed" => state.status.clone(),
            failed => format!("{}, attempt {}", state.status, failed + 1),
        };
        match self.bars.as_ref().and_then(|bars| bars.get(index)) {
            Some(bar) if bar.is_finished() => {}
            Some(bar) => {
                bar.set_position(position(state));
                bar.set_message(words);
                if state.is_final() {
                    bar.finish();
                }
            }
            None if row.shown != words => {
                println!("  {:>5.1} s  {:<12} {words}", self.started.elapsed().as_secs_f64(), row.name);
                row.shown = words;
            }
            None => {}
        }
    }
}

impl Drop for Display {
    /// The bars leave the cursor at the end of the last one.
    fn drop(&mut self) {
        if self.bars.is_some() {
            println!();
        }
    }
}

fn bar(name: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("  {spinner} {prefix:12} {bar:30.cyan/dim} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━━─")
        .tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏●");
    let bar = ProgressBar::new(100).with_style(style).with_prefix(name);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// In percent: Replicate's work is 80, the way into Storage the rest.
fn position(state: &State) -> u64 {
    match state.status.as_str() {
        "completed" | "failed" | "cancelled" => 100,
        "downloading" => 90,
        _ => u64::try_from(state.progress).unwrap_or(0) * 80 / 100,
    }
}
