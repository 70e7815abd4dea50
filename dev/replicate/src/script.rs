//! Reads the markers in a prompt; the crate's documentation lists them.

use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub struct Script {
    pub failure: Option<Failure>,
    pub hang: bool,
    pub gone: bool,
    pub fewer: bool,
    pub output: Output,
    pub file: File,
    pub webhook: Webhook,
}

#[derive(Clone, Debug)]
pub struct Failure {
    /// as in the marker: `E005`, `PA`, or words
    pub code: String,
    pub once: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Output {
    #[default]
    AsTheModel,
    Array,
    String,
    Object,
    Data,
    Empty,
}

/// The delivery of the output file.
#[derive(Clone, Debug, Default)]
pub struct File {
    pub html: bool,
    /// bytes after the PNG header
    pub huge: Option<u64>,
    pub no_length: bool,
    /// the pause between two pieces of the body
    pub pause: Option<Duration>,
    pub status: Option<u16>,
    pub status_once: bool,
}

/// The delivery of the webhooks; all but `lost` and `reordered` affect the final event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Webhook {
    pub lost: bool,
    pub twice: bool,
    pub late: Duration,
    pub reordered: bool,
    pub forged: bool,
    pub stale: bool,
}

impl Script {
    pub fn of_prompt(prompt: &str) -> Script {
        let mut script = Script::default();
        for marker in prompt.split('[').skip(1).filter_map(|rest| Some(rest.split_once(']')?.0)) {
            let (word, argument) = marker.split_once(':').unwrap_or((marker, ""));
            match (word, argument) {
                ("fail", code) => script.failure = Some(Failure { code: code.to_owned(), once: false }),
                ("fail-once", code) => script.failure = Some(Failure { code: code.to_owned(), once: true }),
                ("hang", "") => script.hang = true,
                ("gone", "") => script.gone = true,
                ("fewer", "") => script.fewer = true,
                ("empty", "") => script.output = Output::Empty,
                ("output", "array") => script.output = Output::Array,
                ("output", "string") => script.output = Output::String,
                ("output", "object") => script.output = Output::Object,
                ("output", "data") => script.output = Output::Data,
                ("not-an-image", "") => script.file.html = true,
                ("huge", size) => script.file.huge = bytes(size),
                ("no-length", "") => script.file.no_length = true,
                ("slow-body", "") => script.file.pause = Some(Duration::from_millis(100)),
                ("file", status) => {
                    let (status, once) = status.split_once('-').unwrap_or((status, ""));
                    script.file.status = status.parse().ok();
                    script.file.status_once = once == "once";
                }
                ("webhook", "lost") => script.webhook.lost = true,
                ("webhook", "twice") => script.webhook.twice = true,
                ("webhook", "reordered") => script.webhook.reordered = true,
                ("webhook", "forged") => script.webhook.forged = true,
                ("webhook", "stale") => script.webhook.stale = true,
                ("webhook", late) => {
                    script.webhook.late = late.strip_prefix("late:").and_then(duration).unwrap_or_default();
                }
                // Prompts may contain other brackets.
                _ => {}
            }
        }
        script
    }
}

impl Failure {
    /// The prediction's `error`: published texts, except for E1000 and E1001, of which only the meaning is published.
    pub fn error(&self, id: &str) -> String {
        match self.code.as_str() {
            "E005" | "nsfw" => {
                let mark: String = id.chars().take(10).collect();
                format!(
                    "The input or output was flagged as sensitive. Please try again with different inputs. (E005) ({mark})"
                )
            }
            "safety" => "NSFW content detected. Try running it again, or try a different prompt.".to_owned(),
            "PA" => "Prediction interrupted; please retry (code: PA)".to_owned(),
            code @ ("E9828" | "E8765") => format!("Director: unexpected error handling prediction ({code})"),
            "E1000" => "An unknown error occurred (E1000)".to_owned(),
            "E1001" => "Out of memory (E1001)".to_owned(),
            words => words.to_owned(),
        }
    }
}

/// `50MB`, `64MiB`, `1000`
fn bytes(size: &str) -> Option<u64> {
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &size[digits.len()..] {
        "" | "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        _ => return None,
    };
    Some(digits.parse::<u64>().ok()? * unit)
}

/// `3s`, `250ms`
fn duration(text: &str) -> Option<Duration> {
    match text.strip_suffix("ms") {
        Some(number) => number.parse().ok().map(Duration::from_millis),
        None => text.strip_suffix('s')?.parse().ok().map(Duration::from_secs),
    }
}
