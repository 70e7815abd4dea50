//! Finds a create whose answer was lost among the account's predictions.

use super::submission::Submission;
use super::submitted::{agrees, has_all};
use super::{schema_cache, source, submitted};
use crate::address::is_address;
use crate::ctx::Ctx;
use crate::error::JobError;
use crate::job::Job;
use crate::models::input::{self, ModelInput, TEXTS};
use crate::models::request::Target;
use crate::replicate::{self, CREATE_UNKNOWN, Prediction, Status};
use serde_json::{Map, Value};
use std::ops::ControlFlow;

/// Looks for a prediction that an attempt which ended without reporting may have made, in any form that it may have
/// sent, and returns it with its sent input. The search works even if today's catalogue maps the job differently or
/// refuses it.
pub async fn find(
    ctx: &Ctx,
    job: &Job,
    submission: &Submission,
) -> Result<Option<(Prediction, Option<Value>)>, JobError> {
    let image = &submission.image;
    let schema = schema_cache::kept(ctx, &image.target.version, true).await?;
    let mut forms: Vec<ModelInput> = submission.input(None).into_iter().collect();
    forms.extend(schema.and_then(|schema| submission.input(Some(&schema)).ok()));
    let mut sources = Vec::new();
    for address in &image.sources {
        sources.push(source::as_listed(ctx, address).await.split('?').next().unwrap_or_default().to_owned());
    }
    let wanted = Wanted {
        job_id: &job.id,
        target: &image.target,
        prompt: &image.prompt,
        seed: image.seed.number,
        is_own_seed: image.seed.is_default,
        sources,
        forms,
    };
    let found = wanted.look(ctx, job).await?;
    Ok(found.map(|found| {
        let sent = submitted::told(&found, &wanted.forms);
        (found, sent)
    }))
}

/// The marks of a lost create, whichever catalogue mapped it: the rest of its input came from the catalogue.
struct Wanted<'a> {
    job_id: &'a str,
    target: &'a Target,
    prompt: &'a str,
    /// The chosen seed, before it was fitted to the model.
    seed: i64,
    /// The seed is derived from the job's id: no other job has it.
    is_own_seed: bool,
    /// The URLs as Replicate lists them, without their signatures.
    sources: Vec<String>,
    /// The inputs that would be sent today; a prediction with one of them is preferred.
    forms: Vec<ModelInput>,
}

/// A listed prediction compared with the wanted create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Likeness {
    /// The create.
    Same,
    /// The create, but no picture comes of it.
    Ended,
    /// It may be: it has the same model, prompt, seed and sources. The rest of its input agrees with today's, or was
    /// mapped otherwise.
    Alike {
        agrees: bool,
    },
    Other,
}

impl Wanted<'_> {
    /// Finds a prediction made for this job that has not ended badly: the create whose answer was lost, if there was one.
    /// Reports what those used that have. Fails for good if the list is too long to exclude one.
    async fn look(&self, ctx: &Ctx, job: &Job) -> Result<Option<Prediction>, JobError> {
        // Another catalogue may have sent another form, so a prediction that is only alike counts if none is the same.
        let mut alike: Option<(Prediction, bool)> = None;
        let same = replicate::list(ctx, &job.search_from, |prediction, has_id| {
            match self.likeness(&prediction) {
                Likeness::Same if has_id => return ControlFlow::Break(Ok(prediction)),
                Likeness::Same => {
                    let message = "replicate lists the prediction under an id that fits into no path";
                    return ControlFlow::Break(Err(JobError::never(CREATE_UNKNOWN, message)));
                }
                Likeness::Ended if has_id => job.note_usage(prediction.usage()),
                Likeness::Alike { agrees } if alike.as_ref().is_none_or(|(_, known)| agrees && !known) => {
                    alike = Some((prediction, agrees));
                }
                Likeness::Ended | Likeness::Alike { .. } | Likeness::Other => {}
            }
            ControlFlow::Continue(())
        })
        .await;
        match same {
            Ok(Some(same)) => same.map(Some),
            // A list that is too long does not exclude the one that is alike.
            Err(error) if error.kind == CREATE_UNKNOWN && alike.is_some() => {
                Ok(alike.map(|(prediction, _)| prediction))
            }
            Err(error) => Err(error),
            Ok(None) => Ok(alike.map(|(prediction, _)| prediction)),
        }
    }

    /// Compares a prediction with the wanted create, and tells whether it has, or may get, a picture.
    fn likeness(&self, prediction: &Prediction) -> Likeness {
        let gives = prediction.status.is_running() || prediction.status == Status::Succeeded;
        match self.resemblance(prediction) {
            likeness if gives && !prediction.data_removed => likeness,
            Likeness::Same => Likeness::Ended,
            Likeness::Ended | Likeness::Alike { .. } | Likeness::Other => Likeness::Other,
        }
    }

    fn resemblance(&self, prediction: &Prediction) -> Likeness {
        if prediction.is_from_web {
            return Likeness::Other;
        }
        // A listed webhook decides.
        if let Some(job) = prediction.webhook.as_deref().and_then(job_of) {
            return if job == self.job_id { Likeness::Same } else { Likeness::Other };
        }
        let Some(input) = prediction.input.as_object() else { return Likeness::Other };
        let seed = input.get("seed").filter(|seed| !seed.is_null());
        let number = seed.and_then(|seed| seed.as_i64().or(seed.as_f64().map(|seed| seed as i64)));
        let is_certain = self.is_own_seed && number == Some(self.seed);
        // The catalogue of that time may not have known the model's seed.
        let same_seed = seed.is_none() || number.is_some_and(|sent| input::may_be_sent_for(sent, self.seed));
        let same_prompt = match input.get("prompt").filter(|prompt| !prompt.is_null()) {
            Some(prompt) => prompt == self.prompt,
            // A model that only edits its sources has none.
            None => !self.sources.is_empty(),
        };
        if !(is_of(prediction, self.target) && same_seed && same_prompt) {
            return Likeness::Other;
        }
        if is_certain {
            return Likeness::Same;
        }
        if !has_sources(input, &self.sources) {
            return Likeness::Other;
        }
        let alike: Vec<_> = self.forms.iter().filter(|form| agrees(input, form)).collect();
        if alike.iter().any(|form| has_all(input, form)) {
            Likeness::Same
        } else {
            Likeness::Alike { agrees: !alike.is_empty() }
        }
    }
}

/// True if the prediction is of this model. Versions are compared only if the job itself names one, because the
/// catalogue's change. Official models hide theirs.
fn is_of(prediction: &Prediction, target: &Target) -> bool {
    let (name, hash) = match target.version.split_once(':') {
        Some(parts) => parts,
        None if target.is_pinned => ("", target.version.as_str()),
        None => (target.version.as_str(), ""),
    };
    let is_hidden = matches!(prediction.version.as_str(), "" | "hidden");
    let same_version = !target.is_pinned || is_hidden || prediction.version == hash;
    let same_name =
        prediction.model.eq_ignore_ascii_case(name) || (prediction.model.is_empty() && prediction.version == hash);
    same_version && (name.is_empty() || same_name)
}

/// True if some field holds exactly these sources; without sources, if no field holds any.
fn has_sources(input: &Map<String, Value>, sources: &[String]) -> bool {
    let mut fields = input.iter().filter(|(field, _)| !TEXTS.contains(&field.as_str()));
    let found = |value| addresses(value).into_iter().filter(|text| is_address(text)).collect::<Vec<_>>();
    // Replicate may list a sent `data:` URI by a URL.
    let is =
        |found: &str, source: &str| found == source || (source.starts_with("data:") && !found.starts_with("data:"));
    let are = |found: Vec<&str>| {
        found.len() == sources.len() && found.iter().zip(sources).all(|(found, source)| is(found, source))
    };
    if sources.is_empty() {
        fields.all(|(_, value)| found(value).is_empty())
    } else {
        fields.any(|(_, value)| are(found(value)))
    }
}

/// The job in the URL of one of this worker's webhooks.
fn job_of(webhook: &str) -> Option<&str> {
    let (_, query) = webhook.split_once("/webhooks/replicate?")?;
    query.split('&').find_map(|pair| pair.strip_prefix("job="))
}

/// One URL or a list of them, without their queries, which hold the signatures.
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

    fn target(version: &str, is_pinned: bool) -> &'static Target {
        Box::leak(Box::new(Target { known: None, version: version.to_owned(), is_pinned }))
    }

    /// Job `j` wants the prompt `a`, has the seed 1754394129 from its id, and sends 4 steps.
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
            // The seed was fitted to another range.
            (row(json!({ "prompt": "a", "seed": 1_754_394_129 % 65_536, "size": "1K" })), Alike { agrees: false }),
            (row(json!({ "prompt": "a", "seed": 1_754_394_129 % 1_000_000, "steps": 3 })), Alike { agrees: false }),
            (row(json!({ "prompt": "a", "seed": 1 + 1_754_394_129 % 999_999, "steps": 3 })), Alike { agrees: false }),
            (row(json!({ "prompt": "a", "seed": 42 })), Other),
            (row(json!({ "prompt": "a", "seed": 8, "steps": 4 })), Other),
            // The model was not known to take a seed.
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
            (json!({ "model": "o/n", "input": { "prompt": "a", "seed": own }, "status": "failed" }), Ended),
            (json!({ "model": "o/n", "input": { "prompt": "a", "steps": 3 }, "status": "failed" }), Other),
            (json!({ "model": "o/n", "input": { "prompt": "a", "seed": own }, "status": "queued" }), Same),
            (
                json!({ "model": "o/n", "input": { "prompt": "a", "seed": own }, "status": "succeeded", "data_removed": true }),
                Ended,
            ),
            (json!({ "model": "o/n", "input": { "prompt": "a", "steps": 4 }, "source": "web" }), Other),
            (
                json!({ "model": "o/n", "input": { "prompt": "a", "steps": 4 }, "source": "api" }),
                Alike { agrees: true },
            ),
        ];
        for (fields, likeness) in table {
            assert_eq!(wanted().likeness(&prediction(fields.clone())), likeness, "{fields}");
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
            assert_eq!(wanted.likeness(&prediction(fields.clone())), likeness, "{fields}");
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
            let found = is_of(&prediction(fields.clone()), target(version, is_pinned));
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
            assert_eq!(wanted().likeness(&found), likeness, "{webhook}");
        }
        let ended = json!({ "webhook": "https://f/webhooks/replicate?job=j", "status": "failed" });
        assert_eq!(wanted().likeness(&prediction(ended)), Ended);
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
            assert_eq!(wanted.likeness(&found), likeness, "{found:?}");
        }
        // The model was not known to take a prompt besides its source.
        let upscaled = prediction(json!({ "model": "o/n", "input": { "image": url("a.png", "2") } }));
        let wanted = Wanted { sources: vec![a.to_owned()], ..wanted() };
        assert_eq!(wanted.likeness(&upscaled), Alike { agrees: true });
    }
}
