//! The input schemas that Replicate publishes: the truth about a model at run time, kept in the database for a day.

use super::send;
use crate::ctx::{Body, Ctx};
use crate::error::{Again, JobError};
use crate::json::object;
use crate::queue::{self, QueueError};
use serde_json::{Map, Value};

/// The published schema of a model, kept within a day or asked for now: `owner/name`, or `owner/name:version` for one
/// version of it. None: Replicate has published none, or the model is called by its version alone.
pub async fn schema(ctx: &Ctx, model: &str) -> Result<Option<Value>, JobError> {
    match kept(ctx, model, false).await? {
        None => fresh(ctx, model).await,
        kept => Ok(kept),
    }
}

/// The same, asked for now. Kept before it is used: whoever looks for what was made of it must find it.
pub async fn fresh(ctx: &Ctx, model: &str) -> Result<Option<Value>, JobError> {
    let Some(path) = path(model) else { return Ok(None) };
    let url = format!("{}/models/{path}", ctx.config.replicate_api_url);
    let answer = send(ctx, "GET", url, Vec::new(), Body::Empty).await.map_err(of_model)?;
    let version = answer.get("latest_version").unwrap_or(&answer);
    let schemas = version.get("openapi_schema").and_then(|schema| schema.get("components")?.get("schemas"));
    let Some(schemas) = schemas.and_then(Value::as_object) else { return Ok(None) };
    // The others describe predictions, and are larger than all that is read here: they are not copied.
    let mut read = Map::new();
    for (name, schema) in schemas {
        if name == "Input" || schema.get("enum").is_some() {
            read.insert(name.clone(), schema.clone());
        }
    }
    let schema = object(vec![
        ("version", version.get("id").cloned().into()),
        ("is_official", answer.get("is_official").cloned().into()),
        ("components", object(vec![("schemas", read.into())])),
    ]);
    queue::keep_model_schema(ctx, model, &schema).await.map_err(unavailable)?;
    Ok(Some(schema))
}

/// What was kept of it, within a day or ever.
pub async fn kept(ctx: &Ctx, model: &str, any_age: bool) -> Result<Option<Value>, JobError> {
    if path(model).is_none() {
        return Ok(None);
    }
    let kept = queue::kept_model_schema(ctx, model, any_age).await.map_err(unavailable)?;
    Ok(Some(kept).filter(|kept| !kept.is_null()))
}

fn unavailable(error: QueueError) -> JobError {
    JobError::backoff("unavailable", error.message)
}

/// A refusal is the payload's mistake.
fn of_model(error: JobError) -> JobError {
    match error.again {
        Again::Never => {
            JobError { kind: "rejected", message: format!("payload: model_id: {}", error.message), ..error }
        }
        _ => error,
    }
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
