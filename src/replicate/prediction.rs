//! A prediction as Replicate reports it.

use crate::address::is_address;
use crate::fields::Fields;
use crate::json::{self, object};
use crate::text::{cleaned, cut};
use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    pub id: String,
    pub status: Status,
    /// `owner/name`; empty if Replicate does not say.
    pub model: String,
    /// 64 hex digits, or "hidden" for official models.
    pub version: String,
    pub input: Value,
    pub output: Value,
    /// Replicate removes input, output and logs an hour after the end.
    pub data_removed: bool,
    pub error: Option<String>,
    pub logs: String,
    /// The model's own time, as billed.
    pub predict_seconds: Option<f64>,
    /// RFC 3339, by Replicate's clock.
    pub completed_at: Option<String>,
    /// The URL to which its end is reported; the API's document does not say that lists have it.
    pub webhook: Option<String>,
    /// Made by hand on Replicate's website.
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
    /// A status that this program does not know; the job waits for another.
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

    /// True if it may still produce an output.
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

    /// Reads a row of the account's list; false if its id cannot be asked for. `None` if the row is not a prediction.
    pub fn listed(mut row: Value) -> Option<(Prediction, bool)> {
        if let Ok(prediction) = Prediction::read(&row) {
            return Some((prediction, true));
        }
        row.as_object_mut()?.insert("id".to_owned(), "unknown".into());
        Some((Prediction::read(&row).ok()?, false))
    }

    /// The URLs in the output, in order, without repetition. Models give a string, a list, or objects that contain them
    /// somewhere; a `data:` URI counts too.
    pub fn output_urls(&self) -> Vec<String> {
        output_urls(&self.output)
    }

    /// True if there is no output and no note that it was removed.
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

    /// What it used, for the ledger; `None` while it runs. What Replicate does not tell, or tells out of all bounds, is
    /// left out.
    pub fn usage(&self) -> Option<Value> {
        let status = match self.status {
            Status::Starting | Status::Processing | Status::Unknown => return None,
            Status::Succeeded => "succeeded",
            Status::Failed => "failed",
            Status::Canceled => "canceled",
            Status::Aborted => "aborted",
        };
        let is_name =
            |model: &&str| (1..=200).contains(&model.len()) && model.bytes().all(|byte| byte.is_ascii_graphic());
        let model = Some(&*self.model).filter(is_name);
        let seconds = self.predict_seconds.filter(|seconds| (0.0..=MAX_PREDICT_SECONDS).contains(seconds));
        let images = match self.status {
            Status::Succeeded if self.data_removed => None,
            Status::Succeeded => Some(self.output_urls().len()),
            _ => Some(0),
        };
        let mut usage = vec![("id", self.id.as_str().into()), ("status", status.into())];
        usage.extend(model.map(|model| ("model", model.into())));
        usage.extend(seconds.map(|seconds| ("predict_seconds", seconds.into())));
        usage.extend(images.map(|images| ("images", images.into())));
        Some(object(usage))
    }

    /// The `version` of the `POST /v1/predictions` that created it; empty if Replicate does not say.
    pub fn sent_to(&self) -> String {
        match self.version.as_str() {
            "" | "hidden" => self.model.clone(),
            hash if self.model.is_empty() => hash.to_owned(),
            hash => format!("{}:{hash}", self.model),
        }
    }
}

/// True if it can be part of a URL unchanged.
pub fn is_path_segment(id: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    (1..=200).contains(&id.len()) && id.bytes().all(fits) && !matches!(id, "." | "..")
}

/// Checks only the characters of an RFC 3339 time.
fn is_time(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_digit() || b"-:.+TZ".contains(&byte);
    (20..=40).contains(&text.len()) && text.starts_with(|first: char| first.is_ascii_digit()) && text.bytes().all(fits)
}

/// More than any prediction takes; what is not told in seconds is left out.
const MAX_PREDICT_SECONDS: f64 = 1e6;
/// More than any model returns; further URLs are ignored.
const MAX_OUTPUTS: usize = 100;

/// The URLs in an output, in order, without repetition.
pub fn output_urls(output: &Value) -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(text) => {
                let text = text.trim();
                if is_address(text) && found.len() < MAX_OUTPUTS && !found.iter().any(|known| known == text) {
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

/// The text of an error, or of the object that holds it; else JSON.
pub fn sentence(error: &Value) -> String {
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
    fn usage_is_told_once_it_has_ended_and_as_far_as_it_is_known() {
        let output = json!(["https://a/1.png", "https://a/2.png"]);
        let table = [
            (json!({ "status": "processing", "metrics": { "predict_time": 1.5 } }), json!(null)),
            (json!({ "status": "queued" }), json!(null)),
            (
                json!({ "status": "succeeded", "model": "o/n", "output": output, "metrics": { "predict_time": 1.5 } }),
                json!({ "id": "p1", "status": "succeeded", "model": "o/n", "predict_seconds": 1.5, "images": 2 }),
            ),
            (
                json!({ "status": "succeeded", "model": "o/n", "data_removed": true }),
                json!({ "id": "p1", "status": "succeeded", "model": "o/n" }),
            ),
            (
                json!({ "status": "failed", "model": "o/\0", "output": output, "metrics": { "predict_time": -1 } }),
                json!({ "id": "p1", "status": "failed", "images": 0 }),
            ),
            (
                json!({ "status": "canceled", "metrics": { "predict_time": 1e300 } }),
                json!({ "id": "p1", "status": "canceled", "images": 0 }),
            ),
            (json!({ "status": "aborted" }), json!({ "id": "p1", "status": "aborted", "images": 0 })),
        ];
        for (fields, usage) in table {
            assert_eq!(prediction(fields.clone()).usage().unwrap_or_default(), usage, "{fields}");
        }
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
