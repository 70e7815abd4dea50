//! A `generate-image` job's payload, read once.

use super::Id;
use crate::error::JobError;
use crate::fields::fields;
use crate::job::Job;
use crate::models::input::{self, ModelInput};
use crate::models::request::{ImageRequest, Request};
use serde_json::Value;

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

/// The payload, checked and resolved to a model, a seed and sources.
pub struct Submission {
    pub generation_id: String,
    pub user_id: String,
    pub image: Request,
    /// Use the model's published schema even if the catalogue has the model.
    pub published_schema: bool,
}

impl Submission {
    /// Reads the payload. An error is final and names the field.
    pub fn read(job: &Job) -> Result<Submission, JobError> {
        let payload = job.payload(Payload::read)?;
        Ok(Submission {
            generation_id: payload.generation_id.0,
            user_id: payload.user_id.0,
            image: Request::new(payload.image, seed_of(&job.id)).map_err(invalid)?,
            published_schema: payload.published_schema.unwrap_or(false),
        })
    }

    /// The model's input, by the catalogue or by a schema that Replicate publishes.
    pub fn input(&self, published: Option<&Value>) -> Result<ModelInput, JobError> {
        input::build(&self.image, published).map_err(invalid)
    }
}

fn invalid(message: String) -> JobError {
    JobError::never("invalid_payload", format!("payload: {message}"))
}

/// The seed for a request without one, the same in every attempt, so that a job's input is its fingerprint in
/// Replicate's list. FNV-1a over the job's random id, in the 31 bits that all models take.
fn seed_of(job_id: &str) -> u32 {
    job_id.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) >> 1
}
