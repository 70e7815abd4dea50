//! A prediction as Replicate tells it.

use crate::error::{cleaned, cut};
use crate::fields::Fields;
use crate::json;
use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    pub id: String,
    pub status: Status,
    /// `owner/name`, or empty where Replicate does not say.
    pub model: String,
    /// 64 hex digits, or "hidden" for official models.
    pub version: String,
    pub input: Value,
    pub output: Value,
    /// Input, output and logs are removed an hour after the end.
    pub data_removed: bool,
    pub error: Option<String>,
    pub logs: String,
    /// Of the model's own time, as billed.
    pub predict_seconds: Option<f64>,
    /// RFC 3339, by Replicate's clock.
    pub completed_at: Option<String>,
    /// Where its end is told to; the API's document does not say that it is listed.
    pub webhook: Option<String>,
    /// Made by hand, on Replicate's pages.
    pub is_from_web: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Starting,
    Processing,
    Succeeded,
    Failed,
    Canceled,
    /// The deadline passed before it started; free of charge.
    Aborted,
    /// A status this program does not know yet; it is waited out.
    Unknown,
}

impl Status {
    fn read(text: &str) -> Status {
        match text {
            "starting" => Status::Starting,
            "processing" => Status::Processing,
            "succeeded" => Status::Succeeded,
            "failed" => Status::Failed,
            "canceled" => Status::Canceled,
            "aborted" => Status::Aborted,
            _ => Status::Unknown,
        }
    }

    /// Whether it may still come to an output.
    pub fn is_running(self) -> bool {
        match self {
            Status::Starting | Status::Processing | Status::Unknown => true,
            Status::Succeeded | Status::Failed | Status::Canceled | Status::Aborted => false,
        }
    }
}

impl Prediction {
    /// Reads a prediction object; all but `id` and `status` may be missing.
    pub fn read(value: &Value) -> Result<Prediction, String> {
        let fields = Fields::of("prediction", value)?;
        let id = fields.required("id", fields.text("id")?)?;
        if !is_path_segment(id) {
            return Err(format!("prediction: id must fit into a URL's path, found {:?}", cut(id, 40)));
        }
        let status = fields.required("status", fields.text("status")?)?;
        let text = |field: &str| fields.value(field).and_then(Value::as_str).map(str::to_owned);
        let json = |field: &str| fields.value(field).cloned().unwrap_or_default();
        Ok(Prediction {
            id: id.to_owned(),
            status: Status::read(status),
            model: text("model").unwrap_or_default(),
            version: text("version").unwrap_or_default(),
            input: json("input"),
            output: json("output"),
            data_removed: json("data_removed") == true,
            error: fields.value("error").map(|error| cleaned(&sentence(error))),
            logs: text("logs").unwrap_or_default(),
            predict_seconds: json("metrics").get("predict_time").and_then(Value::as_f64),
            completed_at: text("completed_at").filter(|time| is_time(time)),
            webhook: text("webhook"),
            is_from_web: json("source") == "web",
        })
    }

    /// A row of the account's list, and whether its id can be asked for; none: it is no prediction.
    pub(super) fn listed(mut row: Value) -> Option<(Prediction, bool)> {
        if let Ok(prediction) = Prediction::read(&row) {
            return Some((prediction, true));
        }
        row.as_object_mut()?.insert("id".to_owned(), "unknown".into());
        Some((Prediction::read(&row).ok()?, false))
    }

    /// The addresses in the output, in order, each once: models give a string, a list, or objects that hold them
    /// somewhere; a `data:` URI is one too.
    pub fn output_urls(&self) -> Vec<String> {
        output_urls(&self.output)
    }

    /// Whether nothing is said of an output, not even that it is gone.
    pub fn is_without_output(&self) -> bool {
        !self.data_removed && self.output_urls().is_empty()
    }

    /// The last percentage of a progress bar in the logs; bars are redrawn with `\r` as well as `\n`.
    pub fn progress(&self) -> Option<u8> {
        self.logs.rsplit(['\n', '\r']).find_map(|line| {
            let (percent, bar) = line.split_once('%')?;
            bar.trim_start().starts_with('|').then_some(())?;
            percent.trim().parse::<u8>().ok().filter(|percent| *percent <= 100)
        })
    }

    /// What was sent, as `POST /v1/predictions` takes it as `version`; empty where Replicate does not say.
    pub fn sent_to(&self) -> String {
        match self.version.as_str() {
            "" | "hidden" => self.model.clone(),
            hash if self.model.is_empty() => hash.to_owned(),
            hash => format!("{}:{hash}", self.model),
        }
    }
}

/// It becomes part of a URL, as it is.
fn is_path_segment(id: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    (1..=200).contains(&id.len()) && id.bytes().all(fits) && !matches!(id, "." | "..")
}

/// RFC 3339, as far as its characters tell.
fn is_time(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_digit() || b"-:.+TZ".contains(&byte);
    (20..=40).contains(&text.len()) && text.starts_with(|first: char| first.is_ascii_digit()) && text.bytes().all(fits)
}

pub(super) fn is_address(text: &str) -> bool {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    ["http", "https", "data"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

/// More than any model gives: what lies beyond is no output of ours.
const OUTPUTS_MOST: usize = 100;

pub(super) fn output_urls(output: &Value) -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(text) => {
                let text = text.trim();
                if is_address(text) && found.len() < OUTPUTS_MOST && !found.iter().any(|known| known == text) {
                    found.push(text.to_owned());
                }
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
            Value::Object(fields) => fields.values().for_each(|value| collect(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut found = Vec::new();
    collect(output, &mut found);
    found
}

/// An error is a text, or an object or a list that holds one.
pub(super) fn sentence(error: &Value) -> String {
    let inner = ["message", "detail", "error"].iter().find_map(|field| error.get(field)?.as_str());
    error.as_str().or(inner).map_or_else(|| json::text(error), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn prediction(fields: Value) -> Prediction {
        let mut value = json!({ "id": "p1", "status": "starting" });
        value.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        Prediction::read(&value).unwrap()
    }

    #[test]
    fn every_output_shape_gives_its_urls() {
        let table = [
            (json!("https://a/1.png"), vec!["https://a/1.png"]),
            (json!(["https://a/1.png", "https://a/2.png"]), vec!["https://a/1.png", "https://a/2.png"]),
            (json!({ "url": "https://a/1.png" }), vec!["https://a/1.png"]),
            (json!([{ "url": "https://a/1.png" }]), vec!["https://a/1.png"]),
            (json!("data:image/png;base64,AA=="), vec!["data:image/png;base64,AA=="]),
            (json!({ "image": "https://a/1.png", "seed": 5 }), vec!["https://a/1.png"]),
            (
                json!(["https://a/1.png", "text", null, "HTTPS://a/2.png", "https://a/1.png"]),
                vec!["https://a/1.png", "HTTPS://a/2.png"],
            ),
            (
                json!({ "images": [[{ "file": { "url": "https://a/1.png" } }], " https://a/2.png\n"] }),
                vec!["https://a/1.png", "https://a/2.png"],
            ),
            (json!("a picture: https://a/1.png"), vec![]),
            (json!("file:///etc/passwd"), vec![]),
            (json!([]), vec![]),
            (Value::Null, vec![]),
            (json!({ "text": "no" }), vec![]),
        ];
        for (output, urls) in table {
            assert_eq!(prediction(json!({ "output": output })).output_urls(), urls, "{output}");
        }
    }

    #[test]
    fn progress_is_the_last_bar_in_the_logs() {
        let table = [
            ("", None),
            ("Using seed: 1\n", None),
            (" 25%|██▌       | 1/4 [00:01<00:03]\n 50%|█████     | 2/4 [00:02]\n", Some(50)),
            (" 25%|##| 1/4\r 75%|####| 3/4\rdone", Some(75)),
            ("950%|##| 1/4", None),
            ("loss 3% better", None),
        ];
        for (logs, progress) in table {
            assert_eq!(prediction(json!({ "logs": logs })).progress(), progress, "{logs:?}");
        }
    }

    #[test]
    fn a_time_is_passed_on_where_it_looks_like_one() {
        let table = [
            ("2026-11-23T10:00:00Z", true),
            ("2026-11-23T10:00:00.123456+02:00", true),
            ("2026-11-23", false),
            ("infinity", false),
            ("yesterday at about tea", false),
            ("", false),
        ];
        for (time, is) in table {
            let found = prediction(json!({ "completed_at": time })).completed_at;
            assert_eq!(found, is.then(|| time.to_owned()), "{time}");
        }
    }

    #[test]
    fn an_error_is_a_sentence() {
        let table = [
            (json!("no"), "no"),
            (json!({ "message": "interrupted (code: PA)" }), "interrupted (code: PA)"),
            (json!({ "detail": "no" }), "no"),
            (json!(["a", 1]), r#"["a",1]"#),
        ];
        for (error, found) in table {
            assert_eq!(prediction(json!({ "error": error })).error.as_deref(), Some(found), "{error}");
        }
        assert_eq!(prediction(json!({ "error": null })).error, None);
    }

    #[test]
    fn an_id_is_what_fits_into_a_path() {
        for id in ["", "../account", "a/b", "a?b", "ä", "..", "a b", "a%2f"] {
            assert!(Prediction::read(&json!({ "id": id, "status": "starting" })).is_err(), "{id}");
        }
        for id in ["p1", "9f3b6c1e-6f0a-4d3c-8e11-1d2f3a4b5c6d", "dep-8x2-y", "a_b.c~d"] {
            assert!(Prediction::read(&json!({ "id": id, "status": "starting" })).is_ok(), "{id}");
        }
    }

    #[test]
    fn a_status_from_the_future_is_waited_out() {
        assert_eq!(prediction(json!({ "status": "queued" })).status, Status::Unknown);
    }
}
