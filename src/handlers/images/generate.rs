//! `generate-image`: asks Replicate for a picture, parks the job while it is made, then enqueues `download-image`.

use super::submission::Submission;
use super::{lost_create, submit, submitted};
use crate::ctx::Ctx;
use crate::error::{Again, JobError};
use crate::job::{FollowUp, Handler, Job, Outcome};
use crate::json::{self, object};
use crate::replicate::{self, NOT_FOUND, Prediction, Status};
use crate::storage;
use crate::text::cut;
use serde_json::Value;
use std::time::Duration;

pub const HANDLER: Handler = Handler {
    job_type: "generate-image",
    #[cfg(test)]
    payload: super::submission::Payload::typescript,
    timed: true,
    run: |ctx, job| Box::pin(run(ctx, job)),
    cancel: |ctx, job| Box::pin(cancel(ctx, job)),
};

/// The state of the prediction between runs.
#[derive(Default)]
struct Checkpoint {
    prediction_id: Option<String>,
    /// The attempt that created or found it; a later attempt makes another if Replicate let it fail.
    attempt_number: u32,
    /// The sent input, for the result ([`submitted::kept`]); `None` if unknown.
    sent: Option<Value>,
}

impl Checkpoint {
    /// Reads the checkpoint of an earlier run; unreadable parts count as absent.
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

/// The longest wait between two looks, unless the shortest is longer.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(15);

/// The picture is paid for and is deleted within an hour; `JOB_TIMEOUT_MS` ends the attempts before that.
const DOWNLOAD_ATTEMPTS: u32 = 10;
/// A finished picture comes before new work, because it is deleted an hour after its prediction's end.
const FINISHED_PRIORITY: i32 = 1_000_000;
/// The most bytes of output URLs in a download's payload.
const OUTPUTS_MAX_BYTES: usize = 64 * 1024;
/// The most bytes of a payload. The database's limit is 1 MiB in its own spelling, with a space after each comma and
/// colon.
const PAYLOAD_MAX_BYTES: usize = 1024 * 1024 - 100;
/// The wait between asking a prediction to end and looking whether it has.
const CANCEL_DELAY: Duration = Duration::from_secs(2);
/// With webhooks, polls only find the ends that no event reported, and are this much rarer.
const SWEEP: u32 = 10;

async fn run(ctx: &Ctx, job: &Job) -> Result<Outcome, JobError> {
    alone(job, look_or_create(ctx, job).await)
}

/// A limit on creates holds the jobs that have not begun, a limit on looks those that have. A job that meets the
/// other's limit is parked alone, so that its type's creates, or looks, go on.
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
    let submission = Submission::read(job)?;
    let mut checkpoint = Checkpoint::read(job);
    let known = match known(ctx, job, &checkpoint).await {
        // The prediction goes on all the same, so an unanswered look only makes the wait longer.
        Err(JobError { again: Again::Backoff, .. }) if job.age < ctx.config.job_timeout => {
            return Ok(Outcome::Snoozed {
                delay: poll_delay(ctx, job),
                checkpoint: checkpoint.to_json(),
                progress: None,
            });
        }
        known => known?,
    };
    let is_spent = |prediction: &Prediction| {
        prediction.status == Status::Failed
            && is_infrastructure(prediction.error.as_deref().unwrap_or_default())
            && checkpoint.attempt_number < job.attempt_number
    };
    let prediction = match known.filter(|prediction| !is_spent(prediction)) {
        Some(prediction) => {
            let is_another = checkpoint.prediction_id.as_ref() != Some(&prediction.id);
            if is_another || checkpoint.sent.is_none() {
                checkpoint.sent = submitted::told(&prediction, &[]);
            }
            prediction
        }
        None => {
            let (prediction, sent) = found_or_created(ctx, job, &submission).await?;
            job.note_usage(prediction.usage());
            checkpoint.attempt_number = job.attempt_number;
            checkpoint.sent = sent;
            prediction
        }
    };
    checkpoint.prediction_id = Some(prediction.id.clone());

    if prediction.status.is_running() && job.age >= ctx.config.job_timeout {
        // Replicate ends it by itself at the same time; this only saves the rest. Mostly it goes on for a moment, and a job
        // of its own sees its end: `watch-prediction`.
        let _ = canceled(ctx, job, &prediction.id).await;
        return Err(timed_out(ctx, &format!("prediction {} was not done", prediction.id)));
    }
    let sent = submitted::shown(&submission, checkpoint.sent.clone().unwrap_or_default());
    decide(job, &submission, &sent, &prediction, poll_delay(ctx, job), checkpoint.to_json())
}

/// The job's known prediction in its present state: from a webhook's event, with which its usage was recorded, else from
/// a look.
async fn known(ctx: &Ctx, job: &Job, checkpoint: &Checkpoint) -> Result<Option<Prediction>, JobError> {
    let prediction_id = match told(job, checkpoint) {
        // An event too small for the output is used only for its id.
        Some(prediction) if prediction.status == Status::Succeeded && prediction.is_without_output() => prediction.id,
        Some(prediction) => return Ok(Some(prediction)),
        None => match &checkpoint.prediction_id {
            Some(prediction_id) => prediction_id.clone(),
            None => return Ok(None),
        },
    };
    let prediction = look(ctx, &prediction_id).await?;
    job.note_usage(prediction.usage());
    Ok(Some(prediction))
}

/// Finds or creates a prediction for a job that has no usable one, and returns its sent input.
async fn found_or_created(
    ctx: &Ctx,
    job: &Job,
    submission: &Submission,
) -> Result<(Prediction, Option<Value>), JobError> {
    // In a later attempt, the answer to an earlier create may have been lost.
    if job.attempt_number > 1
        && let Some(found) = lost_create::find(ctx, job, submission).await?
    {
        return Ok(found);
    }
    if job.age >= ctx.config.job_timeout {
        return Err(timed_out(ctx, "no prediction could be made"));
    }
    if !storage::has_bucket(ctx).await {
        return Err(JobError { again: Again::WhenResumed, ..JobError::never("no_bucket", storage::NO_BUCKET) });
    }
    let mut sent = submit::of(ctx, submission).await?;
    let prediction = submit::create(ctx, job, submission, &mut sent).await?;
    Ok((prediction, Some(submitted::kept(&sent.model))))
}

pub fn timed_out(ctx: &Ctx, what: &str) -> JobError {
    let seconds = ctx.config.job_timeout.as_secs();
    JobError::never("timed_out", format!("{what} within JOB_TIMEOUT_MS ({seconds} s)"))
}

/// Cancels the prediction of a job with a cancel request, and waits for its end.
async fn cancel(ctx: &Ctx, job: &Job) -> Result<Outcome, JobError> {
    alone(job, end(ctx, job).await)
}

async fn end(ctx: &Ctx, job: &Job) -> Result<Outcome, JobError> {
    let mut checkpoint = Checkpoint::read(job);
    if job.age >= ctx.config.job_timeout {
        // Replicate has ended every prediction by itself; this only makes sure.
        if let Some(id) = &checkpoint.prediction_id {
            let _ = canceled(ctx, job, id).await;
        }
        return Ok(Outcome::Cancelled);
    }
    let told = told(job, &checkpoint).map(|prediction| prediction.id);
    let mut goes_on = match &checkpoint.prediction_id {
        Some(id) if told.as_ref() != Some(id) => goes_on(canceled(ctx, job, id).await)?,
        Some(_) | None => false,
    };
    // An attempt that ended without reporting may have left another prediction.
    if !goes_on && job.attempt_number > 1 && checkpoint.attempt_number < job.attempt_number {
        let found = lost_create::find(ctx, job, &Submission::read(job)?).await?.map(|(found, _)| found);
        job.note_usage(found.as_ref().and_then(Prediction::usage));
        if let Some(found) = found.filter(|found| found.status.is_running()) {
            goes_on = self::goes_on(canceled(ctx, job, &found.id).await)?;
            checkpoint.prediction_id = Some(found.id);
        }
    }
    if goes_on {
        return Ok(Outcome::Snoozed { delay: CANCEL_DELAY, checkpoint: checkpoint.to_json(), progress: None });
    }
    Ok(Outcome::Cancelled)
}

/// Tells a prediction to end, and reports it where it has.
async fn canceled(ctx: &Ctx, job: &Job, prediction_id: &str) -> Result<Prediction, JobError> {
    let prediction = replicate::cancel(ctx, prediction_id).await?;
    job.note_usage(prediction.usage());
    Ok(prediction)
}

/// True if a prediction that was told to end still runs. One that Replicate does not know yet may appear in a moment.
fn goes_on(answer: Result<Prediction, JobError>) -> Result<bool, JobError> {
    match answer {
        Err(error) if error.kind == NOT_FOUND => Ok(true),
        answer => Ok(answer?.status.is_running()),
    }
}

/// The end of the job's prediction, if a webhook reported it. Events come late and out of order. An event of a
/// prediction other than the known one counts only with a picture, which is the job's own and paid for.
fn told(job: &Job, checkpoint: &Checkpoint) -> Option<Prediction> {
    let prediction = Prediction::read(job.event.as_ref()?).ok()?;
    let is_known = checkpoint.prediction_id.as_ref().is_none_or(|id| *id == prediction.id);
    let counts = prediction.status == Status::Succeeded || (is_known && !prediction.status.is_running());
    counts.then_some(prediction)
}

/// Looks at a prediction. Replicate sometimes lags: a prediction that it does not know may appear in a moment, and is
/// looked for as long as the job may last.
pub async fn look(ctx: &Ctx, prediction_id: &str) -> Result<Prediction, JobError> {
    match replicate::get(ctx, prediction_id).await {
        Err(error) if error.kind == NOT_FOUND => Err(JobError { again: Again::Backoff, ..error }),
        answer => answer,
    }
}

/// Turns the prediction's state into the outcome.
fn decide(
    job: &Job,
    submission: &Submission,
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
                follow_ups: vec![download(job, submission, prediction, output_urls)],
            })
        }
        Status::Failed => {
            let error = prediction.error.as_deref().unwrap_or("no reason given");
            let message = format!("prediction {id} failed");
            let failed = if is_infrastructure(error) {
                JobError::backoff("prediction_interrupted", message)
            } else {
                JobError::never("prediction_failed", message)
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

fn download(job: &Job, submission: &Submission, prediction: &Prediction, mut output_urls: Vec<String>) -> FollowUp {
    let outputs = match output_urls.len() {
        // A payload holds no picture: the download asks Replicate for the URLs itself.
        _ if json::text(&output_urls.as_slice().into()).len() > OUTPUTS_MAX_BYTES => {
            ("prediction_id", prediction.id.as_str().into())
        }
        1 => ("output_url", output_urls.pop().into()),
        _ => ("output_urls", output_urls.into()),
    };
    let mut texts = [Some(submission.image.prompt.clone()), submission.image.negative_prompt.clone()];
    let with = |[prompt, negative_prompt]: [Option<String>; 2]| {
        object(vec![
            ("generation_id", submission.generation_id.as_str().into()),
            ("user_id", submission.user_id.as_str().into()),
            ("prompt", prompt.into()),
            ("negative_prompt", negative_prompt.into()),
            ("model_id", submission.image.model_id.as_str().into()),
            outputs.clone(),
        ])
    };
    let mut download = with(texts.clone());
    let over = json::text(&download).len().saturating_sub(PAYLOAD_MAX_BYTES);
    if over > 0
        && let Some(longest) = texts.iter_mut().flatten().max_by_key(|text| text.len())
    {
        // The job's own payload fitted, so only the end of a text of hundreds of KB is lost.
        *longest = cut(longest, longest.chars().count().saturating_sub(over));
        download = with(texts);
    }
    FollowUp {
        job_type: "download-image",
        priority: job.priority.max(FINISHED_PRIORITY),
        max_attempts: DOWNLOAD_ATTEMPTS,
        unique_key: format!("download-image:{}:{}", submission.generation_id, prediction.id),
        waiting_since: prediction.completed_at.clone(),
        payload: download,
    }
}

/// A quarter of the job's age, so that a picture is late by a quarter at most and a slow one costs few calls.
pub fn poll_delay(ctx: &Ctx, job: &Job) -> Duration {
    let shortest = ctx.config.poll_interval * if ctx.config.webhooks.is_some() { SWEEP } else { 1 };
    (job.age / 4).clamp(shortest, shortest.max(MAX_POLL_INTERVAL))
}

/// True if the failure is Replicate's own and passes, by the code in its error: `(code: PA)`, interrupted, or one whose
/// documentation says to try again (replicate.com/docs/reference/error-codes, November 2026): unknown (E1000), not
/// started in time (E6716), stopped (E8367), health check (E8765), upload of a file (E9825); its director's (E9828),
/// and those of a service behind it: rate limit (E003), unavailable (E004).
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
