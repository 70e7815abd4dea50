//! What a job sends to Replicate, and how: its model's input, by the catalogue or by the model's published schema.

use super::Payload;
use crate::ctx::Ctx;
use crate::error::{Again, INPUT_REJECTED, JobError, cut};
use crate::job::Job;
use crate::json::object;
use crate::replicate::input::{self, ModelInput};
use crate::replicate::{self, Prediction, published};
use crate::source;
use serde_json::{Map, Value};

pub struct Sent {
    pub model: ModelInput,
    /// The model is described by the schema that Replicate publishes, and not by the catalogue.
    pub by_schema: bool,
}

/// The input as the catalogue has it; for a model outside it, and where the job asks for that, as Replicate
/// publishes it.
pub async fn of(ctx: &Ctx, job: &Job, payload: &Payload) -> Result<Sent, JobError> {
    let target = payload.image.target().map_err(invalid)?;
    let wanted = payload.published_schema.unwrap_or(false) || target.known.is_none();
    let schema = match wanted {
        true => published::schema(ctx, &target.version).await?,
        false => None,
    };
    Ok(Sent { model: model_input(job, payload, schema.as_ref())?, by_schema: schema.is_some() })
}

/// Looks for a prediction that an attempt without a word may have made, in whatever form it was sent, and tells what
/// that was. Nothing that today's catalogue makes of the job, or refuses of it, hinders the search.
pub async fn find(ctx: &Ctx, job: &Job, payload: &Payload) -> Result<Option<(Prediction, Option<Value>)>, JobError> {
    let target = payload.image.target().map_err(invalid)?;
    let schema = published::kept(ctx, &target.version, true).await?;
    let mut forms: Vec<ModelInput> = model_input(job, payload, None).into_iter().collect();
    forms.extend(schema.and_then(|schema| model_input(job, payload, Some(&schema)).ok()));
    let mut sources = Vec::new();
    for address in payload.image.source_images() {
        sources.push(source::as_listed(ctx, address).await.split('?').next().unwrap_or_default().to_owned());
    }
    let wanted = replicate::Wanted {
        job_id: &job.id,
        target,
        prompt: &payload.image.prompt,
        seed: payload.image.seed.unwrap_or(i64::from(seed_of(&job.id))),
        is_own_seed: payload.image.seed.is_none(),
        sources,
        forms,
    };
    let found = replicate::find(ctx, &wanted, &job.search_from).await?;
    Ok(found.map(|found| {
        let sent = told(&found, &wanted.forms);
        (found, sent)
    }))
}

/// Creates the prediction. Where Replicate refuses the input, the model may have changed: it is mapped and sent once
/// more after the schema that was kept, and once more after the one that is published now.
pub async fn create(ctx: &Ctx, job: &Job, payload: &Payload, sent: &mut Sent) -> Result<Prediction, JobError> {
    let mut answer = send(ctx, job, &sent.model).await;
    for is_fresh in [false, true] {
        let Err(refusal) = &answer else { break };
        if refusal.kind != INPUT_REJECTED || (sent.by_schema && !is_fresh) {
            continue;
        }
        let target = payload.image.target().map_err(invalid)?;
        let schema = match is_fresh {
            true => published::fresh(ctx, &target.version).await,
            false => published::kept(ctx, &target.version, false).await,
        };
        let schema = match schema {
            Ok(Some(schema)) => schema,
            // There is none to go by, and the refusal says more.
            Ok(None) | Err(JobError { again: Again::Never, .. }) => continue,
            Err(error) => return Err(error),
        };
        let model = model_input(job, payload, Some(&schema))?;
        if model.input != sent.model.input {
            *sent = Sent { model, by_schema: true };
            answer = send(ctx, job, &sent.model).await;
        }
    }
    answer
}

async fn send(ctx: &Ctx, job: &Job, model: &ModelInput) -> Result<Prediction, JobError> {
    let model = with_sources(model, async |address| source::reachable(ctx, address).await).await?;
    job.check_lease(ctx.clock.now_milliseconds())?;
    replicate::create(ctx, job, &model, ctx.config.job_timeout.saturating_sub(job.age)).await
}

/// The same input with other addresses of its source pictures.
async fn with_sources(
    model: &ModelInput,
    other: impl AsyncFn(&str) -> Result<String, JobError>,
) -> Result<ModelInput, JobError> {
    let mut model = model.clone();
    for source in model.sources() {
        if let Some(address) = source.as_str() {
            *source = Value::from(other(address).await?);
        }
    }
    Ok(model)
}

fn model_input(job: &Job, payload: &Payload, published: Option<&Value>) -> Result<ModelInput, JobError> {
    input::build(&payload.image, seed_of(&job.id), published).map_err(invalid)
}

fn invalid(message: String) -> JobError {
    JobError::never("invalid_payload", format!("payload: {message}"))
}

/// More adjustments than any model has fields, and each a sentence.
const ADJUSTMENTS_MOST: usize = 20;
const ADJUSTMENT_CHARACTERS_MOST: usize = 300;

/// What is kept of what was sent, for the result: a few KB, whatever the payload holds.
pub fn kept(model: &ModelInput) -> Value {
    as_kept(&model.version, &model.input, Some(&model.adjustments))
}

/// The same as Replicate tells it of a prediction; none: it does not, or no longer. What was adjusted is known only
/// where it is what would be sent today.
pub fn told(prediction: &Prediction, forms: &[ModelInput]) -> Option<Value> {
    let input = prediction.input.as_object().filter(|input| !input.is_empty())?;
    let form = forms.iter().find(|form| prediction.is_exactly(form));
    Some(as_kept(&prediction.sent_to(), input, form.map(|form| form.adjustments.as_slice())))
}

fn as_kept(model: &str, input: &Map<String, Value>, adjustments: Option<&[String]>) -> Value {
    let sentences = |adjustments: &[String]| {
        let first = adjustments.iter().take(ADJUSTMENTS_MOST);
        first.map(|adjustment| cut(adjustment, ADJUSTMENT_CHARACTERS_MOST)).collect::<Value>()
    };
    object(vec![
        ("model", model.into()),
        ("input", input::outline(input).into()),
        ("adjustments", adjustments.map(sentences).into()),
    ])
}

/// What was kept with the payload's texts whole again.
pub fn shown(payload: &Payload, mut kept: Value) -> Value {
    let texts = [Some(&payload.image.prompt), payload.image.negative_prompt.as_ref()];
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

/// A seed for a request without one, the same at every attempt, so that a job's input is its
/// fingerprint in Replicate's list. FNV-1a over the job's random id, in the 31 bits all models take.
fn seed_of(job_id: &str) -> u32 {
    job_id.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) >> 1
}
