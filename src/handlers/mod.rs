//! The job types. A new one is a file here with its `HANDLER`, a line in [`ALL`], and a row in the table `job_types`:
//! `cargo xtask new-job-type`.

mod download_image;
mod generate_image;

use crate::ctx::Ctx;
use crate::error::JobError;
use crate::fields::{Fields, Kind};
use crate::job::{Job, Outcome};
use futures_util::future::LocalBoxFuture;
use std::future::ready;

/// What runs jobs of one type. A run may end anywhere, at any time, and be repeated from its last
/// checkpoint: every effect must bear happening twice.
pub struct Handler {
    pub job_type: &'static str,
    #[cfg(test)]
    pub payload: fn() -> String,
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
pub struct Id(pub String);

impl Kind for Id {
    fn get(fields: &Fields<'_>, field: &str) -> Result<Option<Id>, String> {
        let Some(value) = fields.text(field)? else { return Ok(None) };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if (1..=128).contains(&value.len()) && value.bytes().all(allowed) {
            return Ok(Some(Id(value.to_owned())));
        }
        let shown = crate::error::cut(value, 40);
        Err(format!("payload: {field} must be 1 to 128 letters, digits, '_' and '-', found {shown:?}"))
    }

    #[cfg(test)]
    fn typescript(field: &str, docs: &str) -> String {
        String::typescript(field, docs)
    }
}

#[cfg(test)]
mod tests {
    use super::ALL;
    use std::{env, fs, path::Path};

    /// Callers' types are made of what is read.
    #[test]
    fn payload_types() {
        let interface = |job_type: &str| {
            let words = job_type.split('-').map(|word| word[..1].to_uppercase() + &word[1..]);
            words.collect::<String>()
        };
        let mut page = "// Made of src/handlers: WRITE_DOCS=1 cargo test payload_types\n".to_owned();
        for handler in ALL {
            let (name, job_type) = (interface(handler.job_type), handler.job_type);
            page += &format!(
                "\n/** The payload of a `{job_type}` job. */\nexport interface {name} {{\n{}}}\n",
                (handler.payload)()
            );
        }
        page += "\n/** By job type. */\nexport interface JobTypes {\n";
        for handler in ALL {
            page += &format!("  \"{}\": {};\n", handler.job_type, interface(handler.job_type));
        }
        page += "}\n";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("npm/payloads.d.ts");
        if env::var_os("WRITE_DOCS").is_some() {
            fs::write(&path, &page).unwrap();
        }
        assert!(
            fs::read_to_string(path).unwrap() == page,
            "npm/payloads.d.ts is out of date; run: WRITE_DOCS=1 cargo test payload_types"
        );
    }
}
