//! A prediction as Replicate tells it.

use super::Wanted;
use super::input::ModelInput;
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
}

/// Whether a listed prediction is the create that is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Likeness {
    /// It is; in which of the forms that were looked for, if in one of them.
    Same(Option<usize>),
    /// Of the same model, prompt, seed and sources; the rest was mapped otherwise.
    Alike,
    Other,
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
            completed_at: text("completed_at"),
            webhook: text("webhook"),
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

    /// Whether this is the create that is wanted, and may still give, or gave, its picture.
    pub(super) fn likeness(&self, wanted: &Wanted<'_>) -> Likeness {
        if !self.status.is_running() && self.status != Status::Succeeded {
            return Likeness::Other;
        }
        // Where it is told, it is certain.
        if let Some(job) = self.webhook.as_deref().and_then(job_of) {
            return if job == wanted.job_id { Likeness::Same(self.form(wanted)) } else { Likeness::Other };
        }
        if let Some(form) = self.form(wanted) {
            return Likeness::Same(Some(form));
        }
        let own_seed = wanted.own_seed.map(Value::from);
        match wanted.models.first() {
            Some(model) if self.is_like(model, own_seed.as_ref()) => {
                // A seed of the job's own is no other job's.
                let is_own = own_seed.is_some() && self.input.get("seed") == own_seed.as_ref();
                if is_own { Likeness::Same(None) } else { Likeness::Alike }
            }
            Some(_) | None => Likeness::Other,
        }
    }

    fn form(&self, wanted: &Wanted<'_>) -> Option<usize> {
        wanted.models.iter().position(|model| self.is_of(model))
    }

    /// Whether it has this very input. Replicate echoes the input, perhaps with defaults added and without what the
    /// model does not know; official models hide their version. Of source pictures the signature, which each attempt
    /// makes anew, is not compared.
    fn is_of(&self, model: &ModelInput) -> bool {
        let (name, hash) = model.name_and_hash();
        let hidden = hash.is_empty() || self.version == "hidden";
        let same_model = if hidden { name.is_empty() || self.model == name } else { self.version == hash };
        let same_input = |(field, value): (&String, &Value)| match self.input.get(field) {
            Some(found) if model.source_field.as_ref() == Some(field) => addresses(found) == addresses(value),
            Some(found) => found == value,
            None => field != "prompt",
        };
        same_model && model.input.iter().all(same_input)
    }

    /// Whether its model, prompt, seed and sources are these, however the rest was mapped, and whatever version of
    /// the model was the catalogue's.
    fn is_like(&self, model: &ModelInput, own_seed: Option<&Value>) -> bool {
        let (name, hash) = model.name_and_hash();
        let same_model = if name.is_empty() { self.version == hash } else { self.model == name };
        let Some(input) = self.input.as_object().filter(|_| same_model) else { return false };
        let seed = input.get("seed").filter(|seed| !seed.is_null());
        let same_seed = match (seed, model.input.get("seed")) {
            (None, _) => true,
            (Some(seed), wanted) => Some(seed) == wanted || Some(seed) == own_seed,
        };
        let wanted = model.source_field.as_ref().and_then(|field| model.input.get(field)).map(addresses);
        let found: Vec<&str> = input.values().flat_map(addresses).filter(|text| is_address(text)).collect();
        let same_sources = found == wanted.unwrap_or_default();
        same_seed && same_sources && input.get("prompt") == model.input.get("prompt")
    }
}

/// The job in the address of one of our webhooks.
fn job_of(webhook: &str) -> Option<&str> {
    let (_, query) = webhook.split_once("/webhooks/replicate?")?;
    query.split('&').find_map(|pair| pair.strip_prefix("job="))
}

/// It becomes part of a URL, as it is.
fn is_path_segment(id: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    (1..=200).contains(&id.len()) && id.bytes().all(fits) && !matches!(id, "." | "..")
}

fn is_address(text: &str) -> bool {
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
            let wanted = Wanted { job_id: "j", models: vec![model], own_seed: None };
            let found = prediction(fields.clone()).likeness(&wanted) == Likeness::Same(Some(0));
            assert_eq!(found, same, "{version} {fields}");
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
            let wanted = Wanted { job_id: "j", models: vec![model], own_seed: None };
            assert_eq!(found.likeness(&wanted) == Likeness::Same(Some(0)), same, "{found:?}");
        }
    }

    #[test]
    fn a_create_is_known_again_however_it_was_mapped() {
        let sent = json!({ "prompt": "a", "seed": 7, "steps": 4, "image": "https://a/b.png?token=1" });
        let model = ModelInput {
            version: "o/n:h1".to_owned(),
            input: sent.as_object().unwrap().clone(),
            source_field: Some("image".to_owned()),
            ..ModelInput::default()
        };
        let row = |input: Value| json!({ "model": "o/n", "version": "h2", "input": input });
        let source = "https://a/b.png?token=2";
        let table = [
            // Of an own seed.
            (
                Some(7),
                row(json!({ "prompt": "a", "seed": 7, "size": "1K", "image_input": [source] })),
                Likeness::Same(None),
            ),
            (Some(7), row(json!({ "prompt": "a", "size": "1K", "image_input": [source] })), Likeness::Alike),
            (Some(7), row(json!({ "prompt": "a", "seed": 8, "image": source })), Likeness::Other),
            (Some(7), row(json!({ "prompt": "b", "seed": 7, "image": source })), Likeness::Other),
            (Some(7), row(json!({ "prompt": "a", "seed": 7 })), Likeness::Other),
            (Some(7), row(json!({ "prompt": "a", "seed": 7, "image": "https://a/c.png" })), Likeness::Other),
            (
                Some(7),
                json!({ "model": "o/m", "input": { "prompt": "a", "seed": 7, "image": source } }),
                Likeness::Other,
            ),
            (Some(7), row(json!(null)), Likeness::Other),
            // Of the payload's.
            (None, row(json!({ "prompt": "a", "seed": 7, "steps": 30, "image": source })), Likeness::Alike),
            // Told by its webhook.
            (
                None,
                json!({ "webhook": "https://f/process-jobs/webhooks/replicate?job=j&life=1&token=t" }),
                Likeness::Same(None),
            ),
            (
                Some(7),
                json!({ "webhook": "https://f/webhooks/replicate?life=1&job=k", "model": "o/n", "version": "h1", "input": sent }),
                Likeness::Other,
            ),
            (
                Some(7),
                json!({ "webhook": "https://elsewhere/", "model": "o/n", "version": "h1", "input": sent }),
                Likeness::Same(Some(0)),
            ),
        ];
        for (own_seed, fields, likeness) in table {
            let wanted = Wanted { job_id: "j", models: vec![model.clone()], own_seed };
            assert_eq!(prediction(fields.clone()).likeness(&wanted), likeness, "{own_seed:?} {fields}");
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
