//! docs/bench.svg: the benches' results as bars.

use std::fmt::Write;
use std::fs;

use anyhow::Result;
use clap::ValueEnum;

use super::Bench;
use super::report::{self, Better, Comparison};
use super::spread;
use crate::command::root;

const WIDTH: f64 = 760.0;
/// The start of the bars, and the length of the longest, its spread included.
const LEFT: f64 = 184.0;
const LENGTH: f64 = 456.0;
const HEADING: f64 = 26.0;
const ROW: f64 = 20.0;
const BAR: f64 = 12.0;
const GAP: f64 = 18.0;
const MARGIN: f64 = 12.0;

/// The only colours; GitHub shows the picture on white or near black.
const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#59636e}\
.what{font-weight:600;font-size:13px;fill:#1f2328}.ours{font-weight:600;fill:#1f2328}.small{font-size:11px}\
.bar{fill:#c8d1da}.bar.ours{fill:#1f9d67}.spread{stroke:#59636e}.target{stroke:#bc4c00;stroke-dasharray:3 2}\
@media(prefers-color-scheme:dark){text{fill:#9198a1}.what,text.ours{fill:#f0f6fc}.bar{fill:#3d444d}\
.bar.ours{fill:#2fb47c}.spread{stroke:#9198a1}.target{stroke:#f0883e}}";

/// Draws the results of all benches; while one has not run here, the chart stays as it is.
pub fn draw() -> Result<()> {
    let mut reports = Vec::new();
    for bench in Bench::value_variants() {
        let Some(report) = report::read(&bench.name())? else {
            println!("not drawn: {} has not run here", bench.name());
            return Ok(());
        };
        reports.push(report);
    }
    let drawn: Vec<&Comparison> =
        reports.iter().flat_map(|report| &report.comparisons).filter(|comparison| comparison.in_chart).collect();
    let mut notes: Vec<String> = Vec::new();
    for report in &reports {
        let note = format!("{}, {}", report.date, report.machine);
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    let file = root().join("docs/bench.svg");
    fs::write(&file, svg(&drawn, &notes))?;
    println!("drawn: {}", file.display());
    Ok(())
}

fn svg(comparisons: &[&Comparison], notes: &[String]) -> String {
    let mut body = String::new();
    let mut description = String::new();
    let mut top = MARGIN;
    for comparison in comparisons {
        let _ = write!(description, "{}. ", sentence(comparison));
        group(&mut body, comparison, top);
        top += HEADING + ROW * comparison.bars.len() as f64 + GAP;
    }
    let how = "Bar: median. Line: least to most.".to_owned();
    for note in [&how].into_iter().chain(notes) {
        let _ = writeln!(body, r#"<text class="small" x="{MARGIN}" y="{}">{}</text>"#, top + 4.0, escape(note));
        top += 16.0;
    }
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}" role="img" aria-labelledby="title description">
<title id="title">process-jobs, measured</title>
<desc id="description">{}</desc>
<style>{STYLE}</style>
{body}</svg>
"#,
        escape(description.trim_end())
    )
}

/// Draws a heading, and below it a row for each bar.
fn group(body: &mut String, comparison: &Comparison, top: f64) {
    let Comparison { what, unit, better, bars, target, .. } = comparison;
    let better = match better {
        Better::Higher => "more is better",
        Better::Lower => "less is better",
    };
    let _ = writeln!(
        body,
        r#"<text x="{MARGIN}" y="{}"><tspan class="what">{}</tspan><tspan class="small" dx="8">{better}</tspan></text>"#,
        top + 14.0,
        escape(what)
    );
    if let Some(ratio) = comparison.stated_ratio() {
        let right = WIDTH - MARGIN;
        let _ = writeln!(
            body,
            r#"<text class="ours" x="{right}" y="{}" text-anchor="end">{}</text>"#,
            top + 14.0,
            escape(&ratio)
        );
    }
    let most = bars.iter().map(|bar| bar.spread.most).chain(*target).fold(0.0, f64::max);
    let x = |value: f64| LEFT + value.max(0.0) / most * LENGTH;
    for (place, bar) in bars.iter().enumerate() {
        let middle = top + HEADING + ROW * (place as f64 + 0.5);
        let ours = if bar.name.starts_with("process-jobs") { " ours" } else { "" };
        let end = x(bar.spread.most);
        // To the right of the target's line, not across it.
        let value_x = target.map(x).filter(|target| (end..end + 70.0).contains(target)).unwrap_or(end) + 6.0;
        let _ = writeln!(
            body,
            concat!(
                r#"<text class="name{ours}" x="{name_x}" y="{text_y:.1}" text-anchor="end">{name}</text>"#,
                r#"<rect class="bar{ours}" x="{LEFT}" y="{bar_y:.1}" width="{width:.1}" height="{BAR}" rx="2"/>"#,
                r#"<path class="spread" d="M{least:.1} {middle:.1}H{end:.1}"/>"#,
                r#"<text class="value{ours}" x="{value_x:.1}" y="{text_y:.1}">{value} {unit}</text>"#,
            ),
            ours = ours,
            name_x = LEFT - 8.0,
            text_y = middle + 4.0,
            name = escape(&bar.name),
            LEFT = LEFT,
            bar_y = middle - BAR / 2.0,
            width = x(bar.spread.median) - LEFT,
            BAR = BAR,
            least = x(bar.spread.least),
            middle = middle,
            end = end,
            value_x = value_x,
            value = spread::number(bar.spread.median),
            unit = escape(unit),
        );
    }
    if let Some(target) = target {
        let (x, from) = (x(*target), top + HEADING);
        let _ = writeln!(
            body,
            r#"<path class="target" d="M{x:.1} {from:.1}V{:.1}"><title>target</title></path>"#,
            from + ROW * bars.len() as f64
        );
    }
}

fn sentence(comparison: &Comparison) -> String {
    let medians = comparison
        .bars
        .iter()
        .map(|bar| format!("{} {} {}", bar.name, spread::number(bar.spread.median), comparison.unit));
    format!("{}: {}", comparison.what, medians.collect::<Vec<_>>().join(", "))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
