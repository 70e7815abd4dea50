//! What a job sends to Replicate, and how: its model's input, by the catalogue or by the model's published schema.

use super::Payload;
use crate::ctx::Ctx;
use crate::error::{Again, INPUT_REJECTED, JobError};
use crate::job::Job;
use crate::json::object;
use crate::replicate::input::{self, ModelInput};
use crate::replicate::{self, Prediction, published};
use crate::source;
use serde_json::Value;

pub struct Sent {
    pub model: ModelInput,
    /// The model is described by the schema that Replicate publishes, and not by the catalogue.
    pub by_schema: bool,
}

/// The texts of a payload that a checkpoint need not hold again: null stands for them.
const TEXTS: [&str; 2] = ["prompt", "negative_prompt"];

/// The input as the catalogue has it; for a model outside it, and where the job asks for that, as Replicate
/// publishes it.
pub async fn of(ctx: &Ctx, job: &Job, payload: &Payload) -> Result<Sent, JobError> {
    let target = payload.image.target().map_err(invalid)?;
    let wanted = payload.published_schema || target.known.is_none();
    let schema = match wanted {
        // A later attempt looks for what an earlier one has made of it, however old it is.
        true => published::schema(ctx, &target.version, job.attempt_number > 1).await?,
        false => None,
    };
    Ok(Sent { model: model_input(job, payload, schema.as_ref())?, by_schema: schema.is_some() })
}

/// Looks for a prediction that an attempt without a word may have made: of this input, or of the one that the
/// attempt may have sent after the first was refused, or else by another catalogue. What is found is what was sent.
pub async fn find(ctx: &Ctx, job: &Job, payload: &Payload, sent: &mut Sent) -> Result<Option<Prediction>, JobError> {
    let target = payload.image.target().map_err(invalid)?;
    let kept = if sent.by_schema { None } else { published::kept(ctx, &target.version, true).await? };
    let other = kept.and_then(|schema| model_input(job, payload, Some(&schema)).ok());
    let other = other.filter(|other| other.input != sent.model.input);
    let mut models = Vec::new();
    for model in [Some(&sent.model), other.as_ref()].into_iter().flatten() {
        models.push(with_sources(model, async |address| Ok(source::as_listed(ctx, address).await)).await?);
    }
    let own_seed = payload.image.seed.is_none().then(|| seed_of(&job.id));
    let wanted = replicate::Wanted { job_id: &job.id, models, own_seed };
    let found = replicate::find(ctx, &wanted, &job.search_from).await?;
    Ok(found.map(|(prediction, form)| {
        match (form, other) {
            (Some(1..), Some(model)) => *sent = Sent { model, by_schema: true },
            (Some(_), _) => {}
            (None, _) => {
                sent.model.adjustments = Vec::new();
                if let Value::Object(input) = &prediction.input {
                    sent.model.input = input.clone();
                }
            }
        }
        prediction
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

/// What is kept of an input for the result. A source picture is kept without what opens it, or is it; a text of the
/// payload is not kept twice.
pub fn kept(payload: &Payload, model: &ModelInput) -> Value {
    let mut model = model.clone();
    for source in model.sources() {
        let shown = source.as_str().map(|address| match address.starts_with("data:") {
            true => format!("{}… ({} characters)", address.get(..30).unwrap_or_default(), address.len()),
            false => address.split('?').next().unwrap_or_default().to_owned(),
        });
        *source = Value::from(shown);
    }
    for field in TEXTS {
        if let Some(text) = model.input.get_mut(field).filter(|text| text.as_str() == payload.text(field)) {
            *text = Value::Null;
        }
    }
    let ModelInput { version, input, adjustments, .. } = model;
    object(vec![("model", version.into()), ("input", input.into()), ("adjustments", adjustments.into())])
}

/// The same with the payload's texts in their places.
pub fn shown(payload: &Payload, mut kept: Value) -> Value {
    for field in TEXTS {
        let text = kept.get_mut("input").and_then(|input| input.get_mut(field)).filter(|text| text.is_null());
        if let Some(text) = text {
            *text = payload.text(field).into();
        }
    }
    kept
}

/// A seed for a request without one, the same at every attempt, so that a job's input is its
/// fingerprint in Replicate's list. FNV-1a over the job's random id, in the 31 bits all models take.
fn seed_of(job_id: &str) -> u32 {
    job_id.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) >> 1
}
