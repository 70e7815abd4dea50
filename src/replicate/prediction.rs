//! A prediction as Replicate tells it.

use super::Wanted;
use super::input::{self, ModelInput, TEXTS};
use super::request::Target;
use crate::error::{cleaned, cut};
use crate::fields::Fields;
use crate::json;
use serde_json::{Map, Value};

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

/// Whether a listed prediction is the create that is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Likeness {
    /// It is.
    Same,
    /// It may be: of the same model, prompt, seed and sources. What it has of the rest agrees, or was mapped otherwise.
    Alike {
        agrees: bool,
    },
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

    /// Whether this is the create that is wanted, and still gives, or may give, its picture.
    pub(super) fn likeness(&self, wanted: &Wanted<'_>) -> Likeness {
        let gives = self.status.is_running() || self.status == Status::Succeeded;
        if !gives || self.data_removed || self.is_from_web {
            return Likeness::Other;
        }
        // Where it is told, it is certain.
        if let Some(job) = self.webhook.as_deref().and_then(job_of) {
            return if job == wanted.job_id { Likeness::Same } else { Likeness::Other };
        }
        let Some(input) = self.input.as_object() else { return Likeness::Other };
        let seed = input.get("seed").filter(|seed| !seed.is_null());
        let number = seed.and_then(|seed| seed.as_i64().or(seed.as_f64().map(|seed| seed as i64)));
        let is_certain = wanted.is_own_seed && number == Some(wanted.seed);
        // A catalogue may not have known of the model's seed.
        let same_seed = seed.is_none() || number.is_some_and(|sent| input::may_be_sent_for(sent, wanted.seed));
        let same_prompt = match input.get("prompt").filter(|prompt| !prompt.is_null()) {
            Some(prompt) => prompt == wanted.prompt,
            // A model that only changes its sources.
            None => !wanted.sources.is_empty(),
        };
        if !(self.is_of(&wanted.target) && same_seed && same_prompt) {
            return Likeness::Other;
        }
        if is_certain {
            return Likeness::Same;
        }
        if !has_sources(input, &wanted.sources) {
            return Likeness::Other;
        }
        let alike: Vec<_> = wanted.forms.iter().filter(|form| agrees(input, form)).collect();
        match alike.iter().any(|form| has_all(input, form)) {
            true => Likeness::Same,
            false => Likeness::Alike { agrees: !alike.is_empty() },
        }
    }

    /// Whether what was sent is exactly this, but for what opens its sources.
    pub fn is_exactly(&self, form: &ModelInput) -> bool {
        let Some(input) = self.input.as_object() else { return false };
        let is_sent = |(field, value): (&String, &Value)| value.is_null() || form.input.contains_key(field);
        has_all(input, form) && input.iter().all(is_sent) && agrees(input, form)
    }

    /// Whether it is of this model. Only a version that the job itself names tells one from another: the catalogue's
    /// changes. Official models hide theirs.
    fn is_of(&self, target: &Target) -> bool {
        let (name, hash) = match target.version.split_once(':') {
            Some(parts) => parts,
            None if target.is_pinned => ("", target.version.as_str()),
            None => (target.version.as_str(), ""),
        };
        let is_hidden = matches!(self.version.as_str(), "" | "hidden");
        let same_version = !target.is_pinned || is_hidden || self.version == hash;
        let same_name = self.model.eq_ignore_ascii_case(name) || (self.model.is_empty() && self.version == hash);
        same_version && (name.is_empty() || same_name)
    }
}

/// Whether what is there of both is the same. Replicate echoes an input perhaps with defaults added, and without what
/// the model does not know. Sources are not compared: each attempt signs them anew.
fn agrees(input: &Map<String, Value>, form: &ModelInput) -> bool {
    form.input.iter().all(|(field, value)| {
        let is_source = form.source_field.as_ref() == Some(field);
        is_source || input.get(field).is_none_or(|found| found.is_null() || found == value)
    })
}

fn has_all(input: &Map<String, Value>, form: &ModelInput) -> bool {
    form.input.keys().all(|field| input.get(field).is_some_and(|value| !value.is_null()))
}

/// Whether a field, whichever it is, holds these sources; where there are none, none does.
fn has_sources(input: &Map<String, Value>, sources: &[String]) -> bool {
    let mut fields = input.iter().filter(|(field, _)| !TEXTS.contains(&field.as_str()));
    let found = |value| addresses(value).into_iter().filter(|text| is_address(text)).collect::<Vec<_>>();
    // What was sent as a `data:` URI may be listed by an address.
    let is =
        |found: &str, source: &str| found == source || (source.starts_with("data:") && !found.starts_with("data:"));
    let are = |found: Vec<&str>| {
        found.len() == sources.len() && found.iter().zip(sources).all(|(found, source)| is(found, source))
    };
    match sources.is_empty() {
        true => fields.all(|(_, value)| found(value).is_empty()),
        false => fields.any(|(_, value)| are(found(value))),
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

    fn target(version: &str, is_pinned: bool) -> Target {
        Target { known: None, version: version.to_owned(), is_pinned }
    }

    /// Job `j` asks for `a`, with the seed 1754394129 of its own, and sends 4 steps.
    fn wanted() -> Wanted<'static> {
        let input = json!({ "prompt": "a", "seed": 1_754_394_129, "steps": 4 });
        Wanted {
            job_id: "j",
            target: target("o/n", false),
            prompt: "a",
            seed: 1_754_394_129,
            is_own_seed: true,
            sources: Vec::new(),
            forms: vec![ModelInput { input: input.as_object().unwrap().clone(), ..ModelInput::default() }],
        }
    }

    #[test]
    fn a_create_is_known_again_by_its_seed_however_it_was_mapped() {
        use Likeness::*;
        let own = json!(1_754_394_129);
        let row = |input: Value| json!({ "model": "o/n", "version": "h2", "input": input });
        let table = [
            (row(json!({ "prompt": "a", "seed": own, "steps": 4 })), Same),
            (row(json!({ "prompt": "a", "seed": own, "size": "1K", "go_fast": true, "negative_prompt": null })), Same),
            (row(json!({ "prompt": "a", "seed": 1_754_394_129.0 })), Same),
            // Its seed was fitted to another range.
            (row(json!({ "prompt": "a", "seed": 1_754_394_129 % 65_536, "size": "1K" })), Alike { agrees: false }),
            (row(json!({ "prompt": "a", "seed": 1_754_394_129 % 1_000_000, "steps": 3 })), Alike { agrees: false }),
            (row(json!({ "prompt": "a", "seed": 1 + 1_754_394_129 % 999_999, "steps": 3 })), Alike { agrees: false }),
            (row(json!({ "prompt": "a", "seed": 42 })), Other),
            (row(json!({ "prompt": "a", "seed": 8, "steps": 4 })), Other),
            // The model was not known to take one.
            (row(json!({ "prompt": "a", "steps": 3 })), Alike { agrees: false }),
            (row(json!({ "prompt": "a", "seed": null, "steps": 4 })), Alike { agrees: true }),
            (row(json!({ "prompt": "b", "seed": own })), Other),
            (row(json!({ "seed": own })), Other),
            (row(json!({ "prompt": ["a"], "seed": own })), Other),
            (row(json!({ "prompt": "a", "seed": "x" })), Other),
            (row(json!(null)), Other),
            (row(json!([])), Other),
            (json!({ "model": "o/m", "input": { "prompt": "a", "seed": own } }), Other),
            (json!({ "model": "O/N", "version": "hidden", "input": { "prompt": "a", "seed": own } }), Same),
            (json!({ "model": "o/n", "input": { "prompt": "a", "seed": own }, "status": "failed" }), Other),
            (json!({ "model": "o/n", "input": { "prompt": "a", "seed": own }, "status": "queued" }), Same),
            (
                json!({ "model": "o/n", "input": { "prompt": "a", "seed": own }, "status": "succeeded", "data_removed": true }),
                Other,
            ),
            (json!({ "model": "o/n", "input": { "prompt": "a", "steps": 4 }, "source": "web" }), Other),
            (
                json!({ "model": "o/n", "input": { "prompt": "a", "steps": 4 }, "source": "api" }),
                Alike { agrees: true },
            ),
        ];
        for (fields, likeness) in table {
            assert_eq!(prediction(fields.clone()).likeness(&wanted()), likeness, "{fields}");
        }
    }

    #[test]
    fn a_create_with_the_payloads_seed_is_best_known_by_its_whole_input() {
        use Likeness::*;
        let wanted = Wanted { is_own_seed: false, ..wanted() };
        let row = |input: Value| json!({ "model": "o/n", "version": "hidden", "input": input });
        let table = [
            (row(json!({ "prompt": "a", "seed": 1_754_394_129, "steps": 4, "default": 1 })), Same),
            (row(json!({ "prompt": "a", "seed": 1_754_394_129, "steps": 30 })), Alike { agrees: false }),
            (row(json!({ "prompt": "a", "seed": 1_754_394_129 % 65_536, "steps": 4 })), Alike { agrees: false }),
            (row(json!({ "prompt": "a", "seed": 7, "steps": 4 })), Other),
            (row(json!({ "prompt": "a", "seed": 1_754_394_129, "steps": 4, "image": "https://a/b.png" })), Other),
        ];
        for (fields, likeness) in table {
            assert_eq!(prediction(fields.clone()).likeness(&wanted), likeness, "{fields}");
        }
    }

    #[test]
    fn only_a_version_that_the_job_names_tells_creates_apart() {
        let table = [
            ("o/n", false, json!({ "model": "o/n", "version": "hidden" }), true),
            ("o/n", false, json!({ "model": "o/n" }), true),
            ("o/n:h1", false, json!({ "model": "o/n", "version": "h1" }), true),
            ("o/n:h1", false, json!({ "model": "o/n", "version": "h2" }), true),
            ("o/n:h1", false, json!({ "version": "h1" }), true),
            ("o/n:h1", false, json!({ "model": "o/m", "version": "h1" }), false),
            ("o/n:h1", true, json!({ "model": "o/n", "version": "h1" }), true),
            ("o/n:h1", true, json!({ "model": "o/n", "version": "h2" }), false),
            ("o/n:h1", true, json!({ "model": "o/n", "version": "hidden" }), true),
            ("h1", true, json!({ "model": "o/n", "version": "h1" }), true),
            ("h1", true, json!({ "model": "o/n", "version": "h2" }), false),
            ("h1", true, json!({ "model": "o/n", "version": "hidden" }), true),
        ];
        for (version, is_pinned, fields, same) in table {
            let found = prediction(fields.clone()).is_of(&target(version, is_pinned));
            assert_eq!(found, same, "{version} {is_pinned} {fields}");
        }
    }

    #[test]
    fn a_webhook_of_ours_decides_outright() {
        use Likeness::*;
        let input = json!({ "prompt": "a", "seed": 1_754_394_129, "steps": 4 });
        let table = [
            ("https://f/process-jobs/webhooks/replicate?job=j&life=1&token=t", json!(null), Same),
            ("https://f/webhooks/replicate?life=2&job=j", json!({ "prompt": "b" }), Same),
            ("https://f/webhooks/replicate?job=k&life=1&token=t", input.clone(), Other),
            ("https://elsewhere/?job=k", input, Same),
        ];
        for (webhook, input, likeness) in table {
            let found = prediction(json!({ "model": "o/n", "webhook": webhook, "input": input }));
            assert_eq!(found.likeness(&wanted()), likeness, "{webhook}");
        }
        let ended = json!({ "webhook": "https://f/webhooks/replicate?job=j", "status": "failed" });
        assert_eq!(prediction(ended).likeness(&wanted()), Other);
    }

    #[test]
    fn a_source_picture_is_known_again_whatever_its_field_and_its_signature() {
        use Likeness::*;
        let url = |path: &str, token: &str| json!(format!("https://a/sign/{path}?token={token}"));
        let (a, b, data) = ("https://a/sign/a.png", "https://a/sign/b.png", "data:image/png;base64,AA==");
        let table = [
            (vec![a], json!({ "image": url("a.png", "2") }), Alike { agrees: false }),
            (vec![a], json!({ "image_input": [url("a.png", "2")], "lora": "https://x/y" }), Alike { agrees: false }),
            (vec![a], json!({ "image": url("b.png", "1") }), Other),
            (vec![a], json!({}), Other),
            (vec![a, b], json!({ "image": [url("a.png", "2"), url("b.png", "2")] }), Alike { agrees: false }),
            (vec![a, b], json!({ "image": [url("b.png", "2"), url("a.png", "2")] }), Other),
            (vec![a, b], json!({ "image": [url("a.png", "2")] }), Other),
            (vec![data], json!({ "image": data }), Alike { agrees: false }),
            (vec![data], json!({ "image": "https://replicate.delivery/a.png" }), Alike { agrees: false }),
            (vec![data], json!({ "image": "data:image/png;base64,AB==" }), Other),
            (vec![], json!({ "image": url("a.png", "1") }), Other),
            (vec![], json!({ "negative_prompt": "https://a/ is ugly" }), Alike { agrees: false }),
        ];
        for (sources, fields, likeness) in table {
            let mut input = json!({ "prompt": "https://a/ in red", "steps": 3 });
            input.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            let wanted = Wanted {
                prompt: "https://a/ in red",
                sources: sources.iter().map(|source| source.to_string()).collect(),
                ..wanted()
            };
            let found = prediction(json!({ "model": "o/n", "input": input }));
            assert_eq!(found.likeness(&wanted), likeness, "{found:?}");
        }
        // A model that was not known to take a prompt beside its source.
        let upscaled = prediction(json!({ "model": "o/n", "input": { "image": url("a.png", "2") } }));
        let wanted = Wanted { sources: vec![a.to_owned()], ..wanted() };
        assert_eq!(upscaled.likeness(&wanted), Alike { agrees: true });
    }

    #[test]
    fn what_was_sent_is_told_only_where_it_is_known() {
        let form = &wanted().forms[0];
        let table = [
            (json!({ "prompt": "a", "seed": 1_754_394_129, "steps": 4, "negative_prompt": null }), true),
            (json!({ "prompt": "a", "seed": 1_754_394_129, "steps": 4, "size": "1K" }), false),
            (json!({ "prompt": "a", "seed": 1_754_394_129 }), false),
            (json!({ "prompt": "a", "seed": 1_754_394_129, "steps": null }), false),
            (json!({ "prompt": "a", "seed": 1_754_394_129, "steps": 5 }), false),
            (json!(null), false),
        ];
        for (input, is) in table {
            assert_eq!(prediction(json!({ "input": input })).is_exactly(form), is, "{input}");
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
