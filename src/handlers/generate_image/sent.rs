//! What a job sends to Replicate, and how: its model's input, by the catalogue or by the model's published schema.

use super::Payload;
use crate::ctx::Ctx;
use crate::error::{INPUT_REJECTED, JobError};
use crate::job::Job;
use crate::replicate::input::{self, ImageRequest, ModelInput};
use crate::replicate::{self, Prediction, published};
use crate::source;
use serde_json::Value;

pub struct Sent {
    pub model: ModelInput,
    /// The model is described by the schema that Replicate publishes, and not by the catalogue.
    pub by_schema: bool,
}

/// The input as the catalogue has it; for a model outside it, and where the job asks for that, as Replicate
/// publishes it.
pub async fn of(ctx: &Ctx, job: &Job, payload: &Payload) -> Result<Sent, JobError> {
    let wanted = payload.published_schema || !input::is_known(&payload.image);
    let schema = if wanted { published::schema(ctx, &called(&payload.image)).await? } else { None };
    Ok(Sent { model: model_input(job, payload, schema.as_ref())?, by_schema: schema.is_some() })
}

/// Looks for a prediction that an attempt without a word may have made: of this input, or of the one that the
/// attempt may have sent after the first was refused.
pub async fn find(ctx: &Ctx, job: &Job, payload: &Payload, sent: &Sent) -> Result<Option<Prediction>, JobError> {
    let kept = if sent.by_schema { None } else { published::kept(ctx, &sent.model.version).await? };
    let other = kept.and_then(|schema| model_input(job, payload, Some(&schema)).ok());
    let mut models = vec![reachable(ctx, &sent.model).await?];
    if let Some(other) = other.filter(|other| other.input != sent.model.input) {
        models.push(reachable(ctx, &other).await?);
    }
    replicate::find(ctx, &models, &job.search_from).await
}

/// Creates the prediction. Where Replicate refuses the input as the catalogue has it, the model has changed: it is
/// mapped and sent once more, after the schema that is published now.
pub async fn create(ctx: &Ctx, job: &Job, payload: &Payload, sent: &mut Sent) -> Result<Prediction, JobError> {
    match send(ctx, job, &sent.model).await {
        Err(refusal) if refusal.kind == INPUT_REJECTED && !sent.by_schema => {
            let Some(schema) = published::schema(ctx, &sent.model.version).await? else { return Err(refusal) };
            let model = model_input(job, payload, Some(&schema))?;
            if model.input == sent.model.input {
                return Err(refusal);
            }
            *sent = Sent { model, by_schema: true };
            send(ctx, job, &sent.model).await
        }
        answer => answer,
    }
}

async fn send(ctx: &Ctx, job: &Job, model: &ModelInput) -> Result<Prediction, JobError> {
    let model = reachable(ctx, model).await?;
    job.check_lease(ctx.clock.now_milliseconds())?;
    replicate::create(ctx, job, &model, ctx.config.job_timeout.saturating_sub(job.age)).await
}

/// The same input with source pictures where Replicate reaches them.
async fn reachable(ctx: &Ctx, model: &ModelInput) -> Result<ModelInput, JobError> {
    let mut model = model.clone();
    let sources = match model.source_field.as_ref().and_then(|field| model.input.get_mut(field)) {
        Some(Value::Array(sources)) => sources.as_mut_slice(),
        Some(source) => std::slice::from_mut(source),
        None => &mut [],
    };
    for source in sources {
        if let Some(address) = source.as_str() {
            *source = Value::from(source::reachable(ctx, address).await?);
        }
    }
    Ok(model)
}

fn model_input(job: &Job, payload: &Payload, published: Option<&Value>) -> Result<ModelInput, JobError> {
    input::build(&payload.image, seed_of(&job.id), published)
        .map_err(|message| JobError::never("invalid_payload", format!("payload: {message}")))
}

/// What the payload calls the model by.
fn called(image: &ImageRequest) -> String {
    match &image.model_version {
        Some(version) if !image.model_id.contains(':') => format!("{}:{version}", image.model_id),
        Some(_) | None => image.model_id.clone(),
    }
}

/// A seed for a request without one, the same at every attempt, so that a job's input is its
/// fingerprint in Replicate's list. FNV-1a over the job's random id, in the 31 bits all models take.
fn seed_of(job_id: &str) -> u32 {
    job_id.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) >> 1
}
