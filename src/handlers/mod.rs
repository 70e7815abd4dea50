//! The job types. A new one is a file here with its `HANDLER`, a line in [`ALL`], and a row in the table `job_types`:
//! `cargo xtask new-job-type`.

mod download_image;
mod generate_image;

use crate::ctx::Ctx;
use crate::error::JobError;
use crate::fields::Fields;
use crate::job::{Job, Outcome};
use futures_util::future::LocalBoxFuture;
use std::future::ready;

/// What runs jobs of one type. A run may end anywhere, at any time, and be repeated from its last
/// checkpoint: every effect must bear happening twice.
pub struct Handler {
    pub job_type: &'static str,
    pub run: Run,
    /// Runs instead of `run` once the job is not wanted any more: ends what it has begun outside, and is
    /// [`Outcome::Cancelled`] when nothing goes on there.
    pub cancel: Run,
}

pub type Run = for<'a> fn(&'a Ctx, &'a Job) -> LocalBoxFuture<'a, Result<Outcome, JobError>>;

pub const ALL: &[Handler] = &[download_image::HANDLER, generate_image::HANDLER];

/// The `cancel` of a type that begins nothing outside.
fn nothing_to_end<'a>(_: &'a Ctx, _: &'a Job) -> LocalBoxFuture<'a, Result<Outcome, JobError>> {
    Box::pin(ready(Ok(Outcome::Cancelled)))
}

/// An id that becomes part of a storage path.
fn id(fields: &Fields<'_>, field: &str) -> Result<String, String> {
    let value = fields.required(field, fields.text(field)?)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if (1..=128).contains(&value.len()) && value.bytes().all(allowed) {
        return Ok(value.to_owned());
    }
    let shown = crate::error::cut(value, 40);
    Err(format!("payload: {field} must be 1 to 128 letters, digits, '_' and '-', found {shown:?}"))
}
