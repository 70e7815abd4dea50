//! The input schemas that Replicate publishes: the truth about a model at run time, kept in the database for a day.

use super::send;
use crate::ctx::{Body, Ctx};
use crate::error::{Again, JobError};
use crate::queue;
use serde_json::{Value, json};

/// The published schema of a model: `owner/name`, or `owner/name:version` for one version of it. None: Replicate
/// has published none, or the model is called by its version alone.
pub async fn schema(ctx: &Ctx, model: &str) -> Result<Option<Value>, JobError> {
    let Some(path) = path(model) else { return Ok(None) };
    if let Some(kept) = kept(ctx, model).await? {
        return Ok(Some(kept));
    }
    let url = format!("{}/models/{path}", ctx.config.replicate_api_url);
    let answer = send(ctx, "GET", url, Vec::new(), Body::Empty).await?;
    let version = answer.get("latest_version").unwrap_or(&answer);
    let Some(schemas) = version.get("openapi_schema").and_then(|schema| schema.get("components")?.get("schemas"))
    else {
        return Ok(None);
    };
    let schema = json!({ "components": { "schemas": schemas } });
    // Where it cannot be kept it is only asked for again.
    let _ = queue::keep_model_schema(ctx, model, Some(&schema)).await;
    Ok(Some(schema))
}

/// The same, where it has been asked for within a day.
pub async fn kept(ctx: &Ctx, model: &str) -> Result<Option<Value>, JobError> {
    let kept = queue::keep_model_schema(ctx, model, None).await;
    let kept = kept.map_err(|error| JobError { kind: "unavailable", message: error.message, again: Again::Backoff })?;
    Ok(Some(kept).filter(|kept| !kept.is_null()))
}

/// Below `/models/`; none for what is no name, and must not get into a URL.
fn path(model: &str) -> Option<String> {
    let is_part = |part: &str| {
        !part.starts_with('.') && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let (name, version) = model.split_once(':').map_or((model, None), |(name, version)| (name, Some(version)));
    let (owner, rest) = name.split_once('/')?;
    let fits = [owner, rest, version.unwrap_or("v")].iter().all(|part| !part.is_empty() && is_part(part));
    fits.then(|| version.map_or(name.to_owned(), |version| format!("{name}/versions/{version}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_get_into_the_url() {
        let table = [
            ("owner/name", Some("owner/name")),
            ("owner/name-1.5:abc123", Some("owner/name-1.5/versions/abc123")),
            ("abc123", None),
            ("../account", None),
            ("owner/../account", None),
            ("owner/name/predictions", None),
            ("owner/na me", None),
            ("owner/name:", None),
            ("owner/name:a/b", None),
            ("/name", None),
        ];
        for (model, expected) in table {
            assert_eq!(path(model).as_deref(), expected, "{model}");
        }
    }
}
