//! A prediction as Replicate tells it.

use super::input::ModelInput;
use crate::error::{cleaned, cut};
use crate::fields::Fields;
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
        // It becomes part of a URL.
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(format!("prediction: id must be letters and digits, found {:?}", cut(id, 40)));
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
            error: text("error").map(|error| cleaned(&error)),
            logs: text("logs").unwrap_or_default(),
            predict_seconds: json("metrics").get("predict_time").and_then(Value::as_f64),
        })
    }

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

    /// The last percentage of a progress bar in the logs; bars are redrawn with `\r` as well as `\n`.
    pub fn progress(&self) -> Option<u8> {
        self.logs.rsplit(['\n', '\r']).find_map(|line| {
            let (percent, bar) = line.split_once('%')?;
            bar.trim_start().starts_with('|').then_some(())?;
            percent.trim().parse::<u8>().ok().filter(|percent| *percent <= 100)
        })
    }

    /// Whether this is a create of `model` that may still give, or gave, its picture. Replicate echoes the input,
    /// perhaps with defaults added and without what the model does not know; official models hide their version.
    /// Of source pictures the signature, which each attempt makes anew, is not compared.
    pub(super) fn is_of(&self, model: &ModelInput) -> bool {
        let alive = self.status.is_running() || self.status == Status::Succeeded;
        let (name, hash) = match model.version.split_once(':') {
            Some((name, hash)) => (name, hash),
            None if model.version.contains('/') => (model.version.as_str(), ""),
            None => ("", model.version.as_str()),
        };
        let hidden = hash.is_empty() || self.version == "hidden";
        let same_model = if hidden { name.is_empty() || self.model == name } else { self.version == hash };
        let same_input = |(field, value): (&String, &Value)| match self.input.get(field) {
            Some(found) if model.source_field.as_ref() == Some(field) => addresses(found) == addresses(value),
            Some(found) => found == value,
            None => field != "prompt",
        };
        alive && same_model && model.input.iter().all(same_input)
    }
}

/// One address or a list of them, without their queries, which hold the signatures.
fn addresses(pictures: &Value) -> Vec<&str> {
    let list = pictures.as_array().map_or(std::slice::from_ref(pictures), Vec::as_slice);
    list.iter().filter_map(|url| url.as_str()?.split('?').next()).collect()
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
    fn a_prediction_is_known_again_by_model_and_input() {
        let input = |prompt: &str, more: Value| {
            let mut input = json!({ "prompt": prompt, "seed": 7 });
            input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            input
        };
        let table = [
            ("o/n", json!({ "model": "o/n", "version": "hidden", "input": input("a", json!({})) }), true),
            ("o/n", json!({ "model": "o/n", "input": input("a", json!({ "default": 1 })) }), true),
            ("o/n:h1", json!({ "model": "o/n", "version": "h1", "input": input("a", json!({})) }), true),
            ("o/n:h1", json!({ "model": "o/n", "version": "hidden", "input": input("a", json!({})) }), true),
            ("h1", json!({ "model": "o/n", "version": "h1", "input": input("a", json!({})) }), true),
            ("o/n", json!({ "model": "o/m", "version": "hidden", "input": input("a", json!({})) }), false),
            ("o/n:h1", json!({ "model": "o/n", "version": "h2", "input": input("a", json!({})) }), false),
            ("o/n", json!({ "model": "o/n", "input": input("b", json!({})) }), false),
            ("o/n", json!({ "model": "o/n", "input": input("a", json!({ "seed": 8 })) }), false),
            ("o/n", json!({ "model": "o/n", "input": { "prompt": "a" } }), true),
            ("o/n", json!({ "model": "o/n", "input": { "seed": 7 } }), false),
            ("h1", json!({ "model": "o/n", "version": "hidden", "input": input("a", json!({})) }), true),
            ("o/n", json!({ "model": "o/n", "input": null }), false),
            ("o/n", json!({ "model": "o/n", "input": input("a", json!({})), "status": "failed" }), false),
        ];
        for (version, fields, same) in table {
            let input = input("a", json!({})).as_object().unwrap().clone();
            let model = ModelInput { version: version.to_owned(), input, ..ModelInput::default() };
            assert_eq!(prediction(fields.clone()).is_of(&model), same, "{version} {fields}");
        }
    }

    #[test]
    fn a_source_picture_is_known_again_whatever_its_signature() {
        let url = |path: &str, token: &str| json!(format!("https://a/sign/{path}?token={token}"));
        let (mine, other) = (url("a.png", "1"), url("b.png", "1"));
        let table = [
            (mine.clone(), mine.clone(), true),
            (mine.clone(), url("a.png", "2"), true),
            (mine.clone(), other.clone(), false),
            (json!([mine, other]), json!([url("a.png", "2"), url("b.png", "2")]), true),
            (json!([mine, other]), json!([other, mine]), false),
            (json!([mine, other]), json!([mine]), false),
        ];
        for (sent, echoed, same) in table {
            let input = json!({ "prompt": "a", "image": sent }).as_object().unwrap().clone();
            let source_field = Some("image".to_owned());
            let model = ModelInput { version: "o/n".to_owned(), input, source_field, ..ModelInput::default() };
            let found = prediction(json!({ "model": "o/n", "input": { "prompt": "a", "image": echoed } }));
            assert_eq!(found.is_of(&model), same, "{found:?}");
        }
    }

    #[test]
    fn an_id_that_would_change_the_url_is_refused() {
        for id in ["", "../account", "a/b", "a?b", "ä"] {
            assert!(Prediction::read(&json!({ "id": id, "status": "starting" })).is_err(), "{id}");
        }
    }

    #[test]
    fn a_status_from_the_future_is_waited_out() {
        assert_eq!(prediction(json!({ "status": "queued" })).status, Status::Unknown);
    }
}
