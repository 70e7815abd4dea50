//! A create whose answer was lost, known again among an account's predictions.

use super::input::{self, ModelInput, TEXTS};
use super::prediction::{Prediction, Status, is_address};
use super::request::Target;
use serde_json::{Map, Value};

/// What a lost create is known again by, whichever catalogue mapped it: the rest of an input was the catalogue's.
pub struct Wanted<'a> {
    pub job_id: &'a str,
    pub target: Target,
    pub prompt: &'a str,
    /// The one chosen, before it was fitted to the model.
    pub seed: i64,
    /// The seed is made of the job's id: no other job has it.
    pub is_own_seed: bool,
    /// As Replicate lists them, but for what opens them.
    pub sources: Vec<String>,
    /// What would be sent today: one that was sent so is preferred.
    pub forms: Vec<ModelInput>,
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

impl Prediction {
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
}
