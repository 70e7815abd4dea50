//! The job types. To add one: a file here with a `run` function, a line in [`ALL`], and a row in
//! the table `job_types`.

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

pub const ALL: &[Handler] = &[
    Handler {
        job_type: "download-image",
        run: |ctx, job| Box::pin(download_image::run(ctx, job)),
        cancel: |_, _| Box::pin(ready(Ok(Outcome::Cancelled))),
    },
    Handler {
        job_type: "generate-image",
        run: |ctx, job| Box::pin(generate_image::run(ctx, job)),
        cancel: |ctx, job| Box::pin(generate_image::cancel(ctx, job)),
    },
];

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
