//! The input sent to Replicate for a job, as its checkpoint keeps it and its result shows it.

use super::submission::Submission;
use crate::json::object;
use crate::models::input::{self, ModelInput};
use crate::replicate::Prediction;
use crate::text::cut;
use serde_json::{Map, Value};

/// The limit on adjustments: more than any model has fields; each is a sentence.
const MAX_ADJUSTMENTS: usize = 20;
const ADJUSTMENT_MAX_CHARACTERS: usize = 300;

/// The record of the sent input for the result: a few KB, whatever the payload holds.
pub fn kept(model: &ModelInput) -> Value {
    as_kept(&model.version, &model.input, Some(&model.adjustments))
}

/// The same record from Replicate's data of a prediction; `None` if Replicate has no input of it, or no longer. The
/// adjustments are known only if the input is one that would be sent today.
pub fn told(prediction: &Prediction, forms: &[ModelInput]) -> Option<Value> {
    let input = prediction.input.as_object().filter(|input| !input.is_empty())?;
    let form = forms.iter().find(|form| is_exactly(prediction, form));
    Some(as_kept(&prediction.sent_to(), input, form.map(|form| form.adjustments.as_slice())))
}

fn as_kept(model: &str, input: &Map<String, Value>, adjustments: Option<&[String]>) -> Value {
    let sentences = |adjustments: &[String]| {
        let first = adjustments.iter().take(MAX_ADJUSTMENTS);
        first.map(|adjustment| cut(adjustment, ADJUSTMENT_MAX_CHARACTERS)).collect::<Value>()
    };
    object(vec![
        ("model", model.into()),
        ("input", input::outline(input).into()),
        ("adjustments", adjustments.map(sentences).into()),
    ])
}

/// The record with the payload's texts in full.
pub fn shown(submission: &Submission, mut kept: Value) -> Value {
    let texts = [Some(&submission.image.prompt), submission.image.negative_prompt.as_ref()];
    for (field, text) in input::TEXTS.iter().zip(texts) {
        let kept = kept.get_mut("input").and_then(|input| input.get_mut(field));
        if let (Some(kept), Some(text)) = (kept, text)
            && kept.as_str() == Some(&*input::short(text))
        {
            *kept = text.as_str().into();
        }
    }
    kept
}

/// True if exactly this form was sent, except for the sources' signatures.
fn is_exactly(prediction: &Prediction, form: &ModelInput) -> bool {
    let Some(input) = prediction.input.as_object() else { return false };
    let is_sent = |(field, value): (&String, &Value)| value.is_null() || form.input.contains_key(field);
    has_all(input, form) && input.iter().all(is_sent) && agrees(input, form)
}

/// True if the fields that both have are equal. Replicate may echo an input with defaults added and without fields that
/// the model does not know. Sources are not compared, because each attempt signs them anew.
pub fn agrees(input: &Map<String, Value>, form: &ModelInput) -> bool {
    form.input.iter().all(|(field, value)| {
        let is_source = form.source_field.as_ref() == Some(field);
        is_source || input.get(field).is_none_or(|found| found.is_null() || found == value)
    })
}

pub fn has_all(input: &Map<String, Value>, form: &ModelInput) -> bool {
    form.input.keys().all(|field| input.get(field).is_some_and(|value| !value.is_null()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_sent_is_told_only_where_it_is_known() {
        let input = json!({ "prompt": "a", "seed": 1_754_394_129, "steps": 4 });
        let form = &ModelInput { input: input.as_object().unwrap().clone(), ..ModelInput::default() };
        let table = [
            (json!({ "prompt": "a", "seed": 1_754_394_129, "steps": 4, "negative_prompt": null }), true),
            (json!({ "prompt": "a", "seed": 1_754_394_129, "steps": 4, "size": "1K" }), false),
            (json!({ "prompt": "a", "seed": 1_754_394_129 }), false),
            (json!({ "prompt": "a", "seed": 1_754_394_129, "steps": null }), false),
            (json!({ "prompt": "a", "seed": 1_754_394_129, "steps": 5 }), false),
            (json!(null), false),
        ];
        for (input, is) in table {
            assert_eq!(
                is_exactly(
                    &Prediction::read(&json!({ "id": "p1", "status": "starting", "input": input })).unwrap(),
                    form
                ),
                is,
                "{input}"
            );
        }
    }
}
