//! Creates a job's prediction: builds the input, sends it, and sends it again if the model has changed.

use super::submission::Submission;
use super::{callback, schema_cache, source};
use crate::ctx::Ctx;
use crate::error::{Again, JobError};
use crate::job::Job;
use crate::models::input::ModelInput;
use crate::replicate::{self, INPUT_REJECTED, Prediction};
use serde_json::Value;

pub struct Sent {
    pub model: ModelInput,
    /// The input follows the schema that Replicate publishes, not the catalogue.
    pub by_schema: bool,
}

/// Builds the input by the catalogue, or by the published schema if the model is not in the catalogue or the job asks
/// for that.
pub async fn of(ctx: &Ctx, submission: &Submission) -> Result<Sent, JobError> {
    let target = &submission.image.target;
    let schema = if submission.published_schema || target.known.is_none() {
        schema_cache::schema(ctx, &target.version).await?
    } else {
        None
    };
    Ok(Sent { model: submission.input(schema.as_ref())?, by_schema: schema.is_some() })
}

/// Creates the prediction. If Replicate refuses the input, the model may have changed: the input is mapped and sent
/// once more by the kept schema, and once more by the one published now.
pub async fn create(ctx: &Ctx, job: &Job, submission: &Submission, sent: &mut Sent) -> Result<Prediction, JobError> {
    let mut answer = send(ctx, job, &sent.model).await;
    for is_fresh in [false, true] {
        let Err(refusal) = &answer else { break };
        if refusal.kind != INPUT_REJECTED || (sent.by_schema && !is_fresh) {
            continue;
        }
        let version = &submission.image.target.version;
        let schema = if is_fresh {
            schema_cache::fresh(ctx, version).await
        } else {
            schema_cache::kept(ctx, version, false).await
        };
        let schema = match schema {
            Ok(Some(schema)) => schema,
            // Without a schema to follow, the refusal says more.
            Ok(None) | Err(JobError { again: Again::Never, .. }) => continue,
            Err(error) => return Err(error),
        };
        let model = submission.input(Some(&schema))?;
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
    let webhook = ctx.config.webhooks.as_ref().map(|webhooks| callback::url(webhooks, &job.id, job.life));
    let cancel_after = ctx.config.job_timeout.saturating_sub(job.age);
    replicate::create(ctx, &model.version, model.input, webhook, cancel_after).await
}

/// The same input with other URLs for its source pictures.
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
