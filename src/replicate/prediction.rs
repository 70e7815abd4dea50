//! A prediction as Replicate tells it.

use super::input::ModelInput;
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Prediction {
    pub id: String,
    pub status: Status,
    #[serde(default)]
    pub model: String,
    #[serde(default)]
    pub version: Value,
    #[serde(default)]
    pub input: Value,
    #[serde(default)]
    pub output: Value,
    /// Input, output and logs are removed an hour after the end.
    #[serde(default)]
    pub data_removed: bool,
    #[serde(default)]
    pub error: Value,
    #[serde(default)]
    pub logs: Option<String>,
    #[serde(default)]
    pub metrics: Option<Map<String, Value>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Starting,
    Processing,
    Succeeded,
    Failed,
    Canceled,
    /// The deadline passed before it started; free of charge.
    Aborted,
    /// A status this program does not know yet; it is waited out.
    #[serde(other)]
    Unknown,
}

impl Prediction {
    /// The outputs' URLs, in order. Models give a string, a list, or objects with a `url`; a `data:`
    /// URI is a URL too.
    pub fn output_urls(&self) -> Vec<String> {
        fn url_of(value: &Value) -> Option<String> {
            value.as_str().or_else(|| value.get("url")?.as_str()).map(str::to_owned)
        }
        match &self.output {
            Value::Array(outputs) => outputs.iter().filter_map(url_of).collect(),
            output => url_of(output).into_iter().collect(),
        }
    }

    pub fn error_message(&self) -> &str {
        self.error.as_str().unwrap_or("no reason given")
    }

    /// The last percentage of a progress bar in the logs; bars are redrawn with `\r` as well as `\n`.
    pub fn progress(&self) -> Option<u8> {
        self.logs.as_deref()?.rsplit(['\n', '\r']).find_map(|line| {
            let (percent, bar) = line.split_once('%')?;
            bar.trim_start().starts_with('|').then_some(())?;
            percent.trim().parse::<u8>().ok().filter(|percent| *percent <= 100)
        })
    }

    /// Seconds of the model's own time, as billed.
    pub fn predict_seconds(&self) -> Option<f64> {
        self.metrics.as_ref()?.get("predict_time")?.as_f64()
    }

    /// Whether this is a create of `model` that may still give, or gave, its picture. Replicate
    /// echoes the input, perhaps with defaults added; official models hide their version.
    pub(super) fn is_of(&self, model: &ModelInput) -> bool {
        let alive = match self.status {
            Status::Starting | Status::Processing | Status::Succeeded | Status::Unknown => true,
            Status::Failed | Status::Canceled | Status::Aborted => false,
        };
        let (name, hash) = match model.version.split_once(':') {
            Some((name, hash)) => (name, hash),
            None if model.version.contains('/') => (model.version.as_str(), ""),
            None => ("", model.version.as_str()),
        };
        let same_model = if hash.is_empty() { self.model == name } else { self.version == hash };
        alive && same_model && model.input.iter().all(|(field, value)| self.input.get(field) == Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn prediction(fields: Value) -> Prediction {
        let mut value = json!({ "id": "p1", "status": "starting" });
        value.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn every_output_shape_gives_its_urls() {
        let table = [
            (json!("https://a/1.png"), vec!["https://a/1.png"]),
            (json!(["https://a/1.png", "https://a/2.png"]), vec!["https://a/1.png", "https://a/2.png"]),
            (json!({ "url": "https://a/1.png" }), vec!["https://a/1.png"]),
            (json!([{ "url": "https://a/1.png" }]), vec!["https://a/1.png"]),
            (json!("data:image/png;base64,AA=="), vec!["data:image/png;base64,AA=="]),
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
    fn a_status_from_the_future_is_waited_out() {
        assert_eq!(prediction(json!({ "status": "queued" })).status, Status::Unknown);
    }
}
