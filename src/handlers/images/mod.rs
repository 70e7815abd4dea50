//! Pictures: `generate-image` has Replicate make one, `download-image` carries it into Storage;
//! `watch-prediction` sees the end of one whose job has ended before it.

pub mod callback;
pub mod download;
pub mod format;
pub mod generate;
mod lost_create;
mod schema_cache;
mod source;
mod submission;
mod submit;
mod submitted;
mod svg;
pub mod watch;

use crate::fields::{Fields, Kind};

/// An id that becomes part of a storage path.
pub struct Id(pub String);

impl Kind for Id {
    fn get(fields: &Fields<'_>, field: &str) -> Result<Option<Id>, String> {
        let Some(value) = fields.text(field)? else { return Ok(None) };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if (1..=128).contains(&value.len()) && value.bytes().all(allowed) {
            return Ok(Some(Id(value.to_owned())));
        }
        let shown = crate::text::cut(value, 40);
        Err(format!("payload: {field} must be 1 to 128 letters, digits, '_' and '-', found {shown:?}"))
    }

    #[cfg(test)]
    fn typescript(field: &str, docs: &str) -> String {
        String::typescript(field, docs)
    }
}
