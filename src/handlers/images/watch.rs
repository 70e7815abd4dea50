//! `watch-prediction`: sees the end of a prediction whose job has ended before it, and tells it as its webhook would, so
//! that what it used is recorded. It is left to run: a retry of the job within the hour still finds its picture.

use super::generate::{look, poll_delay, timed_out};
use crate::ctx::Ctx;
use crate::error::JobError;
use crate::fields::{Fields, fields};
use crate::job::{Handler, Job, Outcome, nothing_to_end};
use crate::json::object;
use crate::queue;
use crate::replicate::prediction::is_path_segment;

pub const HANDLER: Handler = Handler {
    job_type: "watch-prediction",
    #[cfg(test)]
    payload: Payload::typescript,
    run: |ctx, job| Box::pin(run(ctx, job)),
    cancel: nothing_to_end,
    timed: true,
};

fields! {
    pub struct Payload {
        prediction_id: String,
        /// The job that made it, and the life in which it did.
        job_id: String,
        life: u32,
    }
}

async fn run(ctx: &Ctx, job: &Job) -> Result<Outcome, JobError> {
    let Payload { prediction_id, job_id, life } = job.payload(read)?;
    let prediction = look(ctx, &prediction_id).await?;
    let Some(usage) = prediction.usage() else {
        if job.age >= ctx.config.job_timeout {
            return Err(timed_out(ctx, &format!("prediction {prediction_id} did not end")));
        }
        // Anything: a job without a checkpoint would have no age.
        let checkpoint = job.payload.clone();
        return Ok(Outcome::Snoozed { delay: poll_delay(ctx, job), checkpoint, progress: None });
    };
    // A job that has ended keeps no event, and that of an earlier life is none.
    let event = object(vec![("id", prediction_id.into())]);
    match queue::wake(ctx, &job_id, life, event, Some(usage.clone())).await {
        Ok(_) => Ok(Outcome::Completed { result: usage, follow_ups: Vec::new() }),
        Err(error) => Err(JobError::backoff("not_recorded", error.message)),
    }
}

fn read(fields: &Fields<'_>) -> Result<Payload, String> {
    let payload = Payload::read(fields)?;
    if !is_path_segment(&payload.prediction_id) {
        return Err("payload: prediction_id must fit into a URL's path".to_owned());
    }
    Ok(payload)
}
