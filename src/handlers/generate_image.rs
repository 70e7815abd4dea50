//! `generate-image`: asks Replicate for a picture, parks while it is made, then hands over to
//! `download-image`.

mod sent;

use super::{Handler, Id};
use crate::ctx::Ctx;
use crate::error::{Again, JobError, NOT_FOUND, cut};
use crate::fields::fields;
use crate::job::{FollowUp, Job, Outcome};
use crate::json::{self, object};
use crate::replicate::request::ImageRequest;
use crate::replicate::{self, Prediction, Status};
use crate::storage;
use serde_json::Value;
use std::time::Duration;

pub const HANDLER: Handler = Handler {
    job_type: "generate-image",
    #[cfg(test)]
    payload: Payload::typescript,
    run: |ctx, job| Box::pin(run(ctx, job)),
    cancel: |ctx, job| Box::pin(cancel(ctx, job)),
};

fields! {
    pub struct Payload {
        /// 1 to 128 letters, digits, `_` and `-`, as in the user's.
        generation_id: Id,
        user_id: Id,
        image: ImageRequest,
        /// True: mapped by the schema that Replicate publishes now, even though the catalogue has the model.
        published_schema: Option<bool>,
    }
}

/// What is known of the prediction between runs.
#[derive(Default)]
struct Checkpoint {
    prediction_id: Option<String>,
    /// The attempt that created or found it; a later one makes a new one if Replicate let it fail.
    attempt_number: u32,
    /// What was sent, for the result ([`sent::kept`]); none: nobody has told it.
    sent: Option<Value>,
}

impl Checkpoint {
    /// Reads what an earlier run left; nothing that can be read is nothing.
    fn read(job: &Job) -> Checkpoint {
        let field = |name: &str| job.checkpoint.as_ref().and_then(|checkpoint| checkpoint.get(name));
        Checkpoint {
            prediction_id: field("prediction_id").and_then(Value::as_str).map(str::to_owned),
            attempt_number: field("attempt_number").and_then(Value::as_u64).unwrap_or(0) as u32,
            sent: field("sent").cloned(),
        }
    }

    fn to_json(&self) -> Value {
        let id = self.prediction_id.as_deref();
        let mut fields = vec![("prediction_id", id.into()), ("attempt_number", self.attempt_number.into())];
        fields.extend(self.sent.clone().map(|sent| ("sent", sent)));
        object(fields)
    }
}

/// The longest wait between two looks at a prediction.
const POLL_INTERVAL_LONGEST: Duration = Duration::from_secs(15);

/// The picture is paid for and gone in an hour; `JOB_TIMEOUT_MS` ends the attempts before that.
const DOWNLOAD_ATTEMPTS: u32 = 10;
/// A finished picture goes before new work: it is gone an hour after its prediction's end.
const FINISHED_PRIORITY: i32 = 1_000_000;
/// Of all addresses of a prediction's outputs in the payload of its download.
const OUTPUTS_BYTES_MOST: usize = 64 * 1024;
/// A payload may have 1 MiB as the database writes it, with a space behind each comma and colon.
const PAYLOAD_BYTES_MOST: usize = 1024 * 1024 - 100;
/// Until a prediction that was told to end is asked again whether it has.
const CANCEL_DELAY: Duration = Duration::from_secs(2);
/// With webhooks, polls only sweep up what no event has told, and are this much rarer.
const SWEEP: u32 = 10;

async fn run(ctx: &Ctx, job: &Job) -> Result<Outcome, JobError> {
    alone(job, look_or_create(ctx, job).await)
}

/// A limit of creates holds who has not begun, one of looks those that have. Where such a job meets the other's, it
/// waits alone: its type's creates, or looks, may go on.
fn alone(job: &Job, outcome: Result<Outcome, JobError>) -> Result<Outcome, JobError> {
    match outcome {
        Err(JobError { kind, again: Again::After(delay), .. })
            if (kind == replicate::CREATES_LIMITED) == job.checkpoint.is_some() =>
        {
            Ok(Outcome::Snoozed { delay, checkpoint: job.checkpoint.clone().unwrap_or_default(), progress: None })
        }
        outcome => outcome,
    }
}

async fn look_or_create(ctx: &Ctx, job: &Job) -> Result<Outcome, JobError> {
    let payload = job.payload(Payload::read)?;
    let mut checkpoint = Checkpoint::read(job);
    let told = told(job, &checkpoint);
    let known = match (told, &checkpoint.prediction_id) {
        // Of an event that could not hold the output only the id counts.
        (Some(prediction), _) if prediction.status == Status::Succeeded && prediction.is_without_output() => {
            Some(look(ctx, &prediction.id).await)
        }
        (Some(prediction), _) => Some(Ok(prediction)),
        (None, Some(prediction_id)) => Some(look(ctx, prediction_id).await),
        (None, None) => None,
    };
    let known = match known {
        // It goes on all the same, so that a look without an answer is only a longer wait.
        Some(Err(JobError { again: Again::Backoff, .. })) if job.age < ctx.config.job_timeout => {
            return Ok(Outcome::Snoozed {
                delay: poll_delay(ctx, job),
                checkpoint: checkpoint.to_json(),
                progress: None,
            });
        }
        known => known.transpose()?,
    };
    let is_spent = |prediction: &Prediction| {
        prediction.status == Status::Failed
            && is_infrastructure(prediction.error.as_deref().unwrap_or_default())
            && checkpoint.attempt_number < job.attempt_number
    };
    let timeout = ctx.config.job_timeout;
    let prediction = match known.filter(|prediction| !is_spent(prediction)) {
        Some(prediction) => {
            let is_another = checkpoint.prediction_id.as_ref() != Some(&prediction.id);
            if is_another || checkpoint.sent.is_none() {
                checkpoint.sent = sent::told(&prediction, &[]);
            }
            prediction
        }
        None => {
            // Not the first attempt, yet no living prediction is known: the answer to a create may have been lost.
            let found = match job.attempt_number {
                1 => None,
                _ => sent::find(ctx, job, &payload).await?,
            };
            let (prediction, sent) = match found {
                Some(found) => found,
                None if job.age >= timeout => {
                    let seconds = timeout.as_secs();
                    let message = format!("no prediction could be made within JOB_TIMEOUT_MS ({seconds} s)");
                    return Err(JobError::never("timed_out", message));
                }
                None if !storage::has_bucket(ctx).await => {
                    return Err(JobError {
                        again: Again::WhenResumed,
                        ..JobError::never("no_bucket", storage::NO_BUCKET)
                    });
                }
                None => {
                    let mut sent = sent::of(ctx, job, &payload).await?;
                    let prediction = sent::create(ctx, job, &payload, &mut sent).await?;
                    (prediction, Some(sent::kept(&sent.model)))
                }
            };
            checkpoint.attempt_number = job.attempt_number;
            checkpoint.sent = sent;
            prediction
        }
    };
    checkpoint.prediction_id = Some(prediction.id.clone());

    if prediction.status.is_running() && job.age >= timeout {
        // Replicate ends it by itself at the same time; this only saves what is left.
        let _ = replicate::cancel(ctx, &prediction.id).await;
        let seconds = timeout.as_secs();
        let message = format!("prediction {} was not done within JOB_TIMEOUT_MS ({seconds} s)", prediction.id);
        return Err(JobError::never("timed_out", message));
    }
    let sent = sent::shown(&payload, checkpoint.sent.clone().unwrap_or_default());
    decide(job, &payload, &sent, &prediction, poll_delay(ctx, job), checkpoint.to_json())
}

/// Ends the prediction of a job that is not wanted any more, and waits for its end.
async fn cancel(ctx: &Ctx, job: &Job) -> Result<Outcome, JobError> {
    alone(job, end(ctx, job).await)
}

async fn end(ctx: &Ctx, job: &Job) -> Result<Outcome, JobError> {
    let mut checkpoint = Checkpoint::read(job);
    if job.age >= ctx.config.job_timeout {
        // Replicate has ended by itself whatever there was; this only makes sure.
        if let Some(id) = &checkpoint.prediction_id {
            let _ = replicate::cancel(ctx, id).await;
        }
        return Ok(Outcome::Cancelled);
    }
    let told = told(job, &checkpoint).map(|prediction| prediction.id);
    let mut goes_on = match &checkpoint.prediction_id {
        Some(id) if told.as_ref() != Some(id) => goes_on(replicate::cancel(ctx, id).await)?,
        Some(_) | None => false,
    };
    // An attempt that ended without a word may have left another one.
    if !goes_on && job.attempt_number > 1 && checkpoint.attempt_number < job.attempt_number {
        let payload = job.payload(Payload::read)?;
        let found = sent::find(ctx, job, &payload).await?.map(|(found, _)| found);
        if let Some(found) = found.filter(|found| found.status.is_running()) {
            goes_on = self::goes_on(replicate::cancel(ctx, &found.id).await)?;
            checkpoint.prediction_id = Some(found.id);
        }
    }
    match goes_on {
        true => Ok(Outcome::Snoozed { delay: CANCEL_DELAY, checkpoint: checkpoint.to_json(), progress: None }),
        false => Ok(Outcome::Cancelled),
    }
}

/// Whether a prediction that was told to end is still to end. One that Replicate does not know may be there in a
/// moment.
fn goes_on(answer: Result<Prediction, JobError>) -> Result<bool, JobError> {
    match answer {
        Err(error) if error.kind == NOT_FOUND => Ok(true),
        answer => Ok(answer?.status.is_running()),
    }
}

/// The end of the job's prediction, where a webhook has told it. Events come late and out of order: one of
/// another prediction than the one known counts only with a picture, which is the job's own and paid for.
fn told(job: &Job, checkpoint: &Checkpoint) -> Option<Prediction> {
    let prediction = Prediction::read(job.event.as_ref()?).ok()?;
    let is_known = checkpoint.prediction_id.as_ref().is_none_or(|id| *id == prediction.id);
    let counts = prediction.status == Status::Succeeded || (is_known && !prediction.status.is_running());
    counts.then_some(prediction)
}

/// Looks at a prediction. Replicate is sometimes behind itself: one that it does not know may be there in a moment,
/// and is looked for as long as the job may last.
async fn look(ctx: &Ctx, prediction_id: &str) -> Result<Prediction, JobError> {
    match replicate::get(ctx, prediction_id).await {
        Err(error) if error.kind == NOT_FOUND => Err(JobError { again: Again::Backoff, ..error }),
        answer => answer,
    }
}

/// Turns what Replicate said into the outcome.
fn decide(
    job: &Job,
    payload: &Payload,
    sent: &Value,
    prediction: &Prediction,
    poll_delay: Duration,
    checkpoint: Value,
) -> Result<Outcome, JobError> {
    let id = &prediction.id;
    match prediction.status {
        Status::Starting | Status::Processing | Status::Unknown => {
            Ok(Outcome::Snoozed { delay: poll_delay, checkpoint, progress: prediction.progress() })
        }
        Status::Succeeded => {
            let output_urls = prediction.output_urls();
            if output_urls.is_empty() {
                let message = if prediction.data_removed {
                    format!("prediction {id} succeeded, but replicate has removed its output")
                } else if [Value::Null, Value::Array(Vec::new())].contains(&prediction.output) {
                    format!("prediction {id} succeeded without an output")
                } else {
                    format!("prediction {id} succeeded without an output that is an address")
                };
                return Err(JobError::never("output_gone", message));
            }
            Ok(Outcome::Completed {
                result: object(vec![
                    ("prediction_id", id.as_str().into()),
                    ("model", sent.get("model").cloned().into()),
                    ("input", sent.get("input").cloned().into()),
                    ("adjustments", sent.get("adjustments").cloned().into()),
                    ("predict_seconds", prediction.predict_seconds.into()),
                ]),
                follow_ups: vec![download(job, payload, prediction, output_urls)],
            })
        }
        Status::Failed => {
            let error = prediction.error.as_deref().unwrap_or("no reason given");
            let message = format!("prediction {id} failed");
            let failed = match is_infrastructure(error) {
                true => JobError::backoff("prediction_interrupted", message),
                false => JobError::never("prediction_failed", message),
            };
            Err(failed.with_told(cut(error, 500)))
        }
        Status::Canceled => Err(JobError::never("prediction_canceled", format!("prediction {id} was canceled"))),
        Status::Aborted => Err(JobError::never(
            "prediction_canceled",
            format!("prediction {id} was aborted: its deadline passed before it started"),
        )),
    }
}

fn download(job: &Job, payload: &Payload, prediction: &Prediction, mut output_urls: Vec<String>) -> FollowUp {
    let outputs = match output_urls.len() {
        // A payload holds no picture: the download asks for the addresses itself.
        _ if json::text(&output_urls.as_slice().into()).len() > OUTPUTS_BYTES_MOST => {
            ("prediction_id", prediction.id.as_str().into())
        }
        1 => ("output_url", output_urls.pop().into()),
        _ => ("output_urls", output_urls.into()),
    };
    let mut texts = [Some(payload.image.prompt.clone()), payload.image.negative_prompt.clone()];
    let with = |[prompt, negative_prompt]: [Option<String>; 2]| {
        object(vec![
            ("generation_id", payload.generation_id.0.as_str().into()),
            ("user_id", payload.user_id.0.as_str().into()),
            ("prompt", prompt.into()),
            ("negative_prompt", negative_prompt.into()),
            ("model_id", payload.image.model_id.as_str().into()),
            outputs.clone(),
        ])
    };
    let mut download = with(texts.clone());
    let over = json::text(&download).len().saturating_sub(PAYLOAD_BYTES_MOST);
    if over > 0
        && let Some(longest) = texts.iter_mut().flatten().max_by_key(|text| text.len())
    {
        // The job's own payload fitted, so it is only the end of a text of hundreds of KB.
        *longest = cut(longest, longest.chars().count().saturating_sub(over));
        download = with(texts);
    }
    FollowUp {
        job_type: "download-image",
        priority: job.priority.max(FINISHED_PRIORITY),
        max_attempts: DOWNLOAD_ATTEMPTS,
        unique_key: format!("download-image:{}:{}", payload.generation_id.0, prediction.id),
        waiting_since: prediction.completed_at.clone(),
        payload: download,
    }
}

/// A quarter of the time it has taken so far, so that a picture is late by a quarter at most and a
/// slow one costs few calls.
fn poll_delay(ctx: &Ctx, job: &Job) -> Duration {
    let shortest = ctx.config.poll_interval * if ctx.config.webhooks.is_some() { SWEEP } else { 1 };
    (job.age / 4).clamp(shortest, shortest.max(POLL_INTERVAL_LONGEST))
}

/// Whether the failure is Replicate's own and passes, by the code that it writes: `(code: PA)`, interrupted, or one of
/// those whose documentation says to try again (replicate.com/docs/reference/error-codes, November 2026): unknown
/// (E1000), not started in time (E6716), stopped (E8367), health check (E8765), upload of a file (E9825); its
/// director's (E9828), and those of a service behind it: rate limit (E003), unavailable (E004).
fn is_infrastructure(error: &str) -> bool {
    let codes = ["E003", "E004", "E1000", "E6716", "E8367", "E8765", "E9825", "E9828"];
    let in_brackets = |code: &str| error.contains(&format!("({code})"));
    let word = |text: &str| text.trim_start().split(|c: char| !c.is_ascii_alphanumeric()).next().map(str::to_owned);
    let mut named = error.split("code:").skip(1).filter_map(word);
    named.any(|code| code == "PA" || codes.contains(&&*code)) || codes.into_iter().any(in_brackets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_replicates_own_where_it_says_so() {
        let table = [
            ("Prediction interrupted; please retry (code: PA)", true),
            ("Director: unexpected error handling prediction (E9828)", true),
            ("Director: unexpected error handling prediction (E8765)", true),
            ("timeout starting prediction (E6716)", true),
            ("failed to upload file (E9825)", true),
            ("service is temporarily unavailable (E004) (1cah9wlWR9)", true),
            ("(code: E1000)", true),
            ("code: PA", true),
            ("stopped (E8367); see (x)", true),
            ("OSError: cannot write mode PA as JPEG", false),
            ("cannot write mode (PA)", false),
            ("E9828 is no word of Replicate's", false),
            ("CUDA out of memory (E1001)", false),
            ("error starting prediction (E9243)", false),
            ("flagged as sensitive. (E005)", false),
            ("NSFW content detected. Try running it again, or try a different prompt.", false),
            ("", false),
        ];
        for (error, passes) in table {
            assert_eq!(is_infrastructure(error), passes, "{error}");
        }
    }
}
