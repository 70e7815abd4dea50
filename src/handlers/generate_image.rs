//! `generate-image`: asks Replicate for a picture, parks while it is made, then hands over to
//! `download-image`.

use super::check_id;
use crate::ctx::Ctx;
use crate::error::JobError;
use crate::job::{FollowUp, Job, Outcome};
use crate::replicate::input::{self, ImageRequest, ModelInput};
use crate::replicate::{self, Prediction, Status};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

#[derive(Deserialize)]
struct Payload {
    generation_id: String,
    user_id: String,
    prompt: String,
    negative_prompt: Option<String>,
    model_id: String,
    model_version: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    num_inference_steps: Option<u32>,
    guidance_scale: Option<f64>,
    seed: Option<i64>,
    source_image_url: Option<String>,
    strength: Option<f64>,
}

#[derive(Default, Serialize, Deserialize)]
struct Checkpoint {
    prediction_id: Option<String>,
    /// The attempt that created it; a later attempt does not resume one that failed.
    #[serde(default)]
    attempt_number: u32,
}

/// The longest wait between two looks at a prediction.
const POLL_INTERVAL_LONGEST: Duration = Duration::from_secs(15);

pub async fn run(ctx: &Ctx, job: &Job) -> Result<Outcome, JobError> {
    let payload: Payload = job.payload()?;
    check_id("generation_id", &payload.generation_id)?;
    check_id("user_id", &payload.user_id)?;
    let model = input::build(&image_request(&payload), seed_of(&job.id))
        .map_err(|message| JobError::never("invalid_payload", format!("payload: {message}")))?;

    let mut checkpoint: Checkpoint = job.checkpoint()?;
    let prediction = match &checkpoint.prediction_id {
        Some(prediction_id) => {
            let prediction = replicate::get(ctx, prediction_id).await?;
            let spent = prediction.status == Status::Failed && checkpoint.attempt_number < job.attempt_number;
            if spent { None } else { Some(prediction) }
        }
        // Not the first attempt, yet no prediction is known: the answer to a create may have been lost.
        None if job.attempt_number > 1 => replicate::find(ctx, &model, &job.started_at).await?,
        None => None,
    };
    let prediction = match prediction {
        Some(prediction) => prediction,
        None => {
            checkpoint.attempt_number = job.attempt_number;
            replicate::create(ctx, &model, ctx.config.job_timeout.saturating_sub(job.age())).await?
        }
    };
    checkpoint.prediction_id = Some(prediction.id.clone());

    if is_running(prediction.status) && job.age() >= ctx.config.job_timeout {
        // Replicate ends it by itself at the same time; this only saves what is left.
        let _ = replicate::cancel(ctx, &prediction.id).await;
        let seconds = ctx.config.job_timeout.as_secs();
        let message = format!("prediction {} was not done within JOB_TIMEOUT_MS ({seconds} s)", prediction.id);
        return Err(JobError::never("timed_out", message));
    }
    decide(&payload, &model, &prediction, poll_delay(ctx, job), json!(checkpoint))
}

/// Turns what Replicate said into the outcome.
fn decide(
    payload: &Payload,
    model: &ModelInput,
    prediction: &Prediction,
    poll_delay: Duration,
    checkpoint: serde_json::Value,
) -> Result<Outcome, JobError> {
    let id = &prediction.id;
    match prediction.status {
        Status::Starting | Status::Processing | Status::Unknown => {
            Ok(Outcome::Snoozed { delay: poll_delay, checkpoint, progress: prediction.progress() })
        }
        Status::Succeeded => {
            let Some(output_url) = prediction.output_urls().into_iter().next() else {
                let message = if prediction.data_removed {
                    format!("prediction {id} succeeded, but replicate has removed its output")
                } else {
                    format!("prediction {id} succeeded without an output")
                };
                return Err(JobError::never("output_gone", message));
            };
            Ok(Outcome::Completed {
                result: json!({
                    "prediction_id": id,
                    "model": model.version,
                    "input": model.input,
                    "adjustments": model.adjustments,
                    "predict_seconds": prediction.predict_seconds(),
                }),
                follow_ups: vec![download(payload, output_url)],
            })
        }
        Status::Failed => {
            let error = prediction.error_message();
            let message = format!("prediction {id} failed: {}", crate::error::cut(error, 500));
            if is_infrastructure(error) {
                Err(JobError::backoff("prediction_interrupted", message))
            } else {
                Err(JobError::never("prediction_failed", message))
            }
        }
        Status::Canceled => Err(JobError::never("prediction_canceled", format!("prediction {id} was canceled"))),
        Status::Aborted => Err(JobError::never(
            "prediction_canceled",
            format!("prediction {id} was aborted: its deadline passed before it started"),
        )),
    }
}

fn download(payload: &Payload, output_url: String) -> FollowUp {
    FollowUp {
        job_type: "download-image",
        priority: 1,
        unique_key: format!("download-image:{}", payload.generation_id),
        payload: json!({
            "generation_id": payload.generation_id,
            "user_id": payload.user_id,
            "output_url": output_url,
            "prompt": payload.prompt,
            "negative_prompt": payload.negative_prompt,
            "model_id": payload.model_id,
        }),
    }
}

fn is_running(status: Status) -> bool {
    match status {
        Status::Starting | Status::Processing | Status::Unknown => true,
        Status::Succeeded | Status::Failed | Status::Canceled | Status::Aborted => false,
    }
}

/// A quarter of the time it has taken so far, so that a picture is late by a quarter at most and a
/// slow one costs few calls.
fn poll_delay(ctx: &Ctx, job: &Job) -> Duration {
    let shortest = ctx.config.poll_interval;
    (job.age() / 4).clamp(shortest, shortest.max(POLL_INTERVAL_LONGEST))
}

/// Codes of failures that are Replicate's own and pass: interrupted (PA), its director (E9828,
/// E8765), unknown (E1000).
fn is_infrastructure(error: &str) -> bool {
    let codes = ["PA", "E9828", "E8765", "E1000"];
    error.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| codes.contains(&word))
}

/// A seed for a request without one, the same at every attempt, so that a job's input is its
/// fingerprint in Replicate's list. FNV-1a over the job's random id.
fn seed_of(job_id: &str) -> u32 {
    job_id.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn image_request(payload: &Payload) -> ImageRequest {
    ImageRequest {
        prompt: payload.prompt.clone(),
        negative_prompt: payload.negative_prompt.clone(),
        model_id: payload.model_id.clone(),
        model_version: payload.model_version.clone(),
        width: payload.width.unwrap_or(1024),
        height: payload.height.unwrap_or(1024),
        num_inference_steps: payload.num_inference_steps.unwrap_or(30),
        guidance_scale: payload.guidance_scale.unwrap_or(7.5),
        seed: payload.seed,
        source_image_url: payload.source_image_url.clone(),
        strength: payload.strength,
    }
}
