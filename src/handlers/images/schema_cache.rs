//! The input schemas that Replicate publishes, kept in the database for a day: the truth about a model at run time.

use crate::ctx::Ctx;
use crate::error::{Again, JobError};
use crate::json::object;
use crate::postgrest::{CallError, call};
use crate::replicate;
use serde_json::{Map, Value};

/// The published schema of a model `owner/name` or of its version `owner/name:version`: the kept one if it is at most a
/// day old, else a fresh one. `None` if Replicate has published none, or the model is given by a version alone.
pub async fn schema(ctx: &Ctx, model: &str) -> Result<Option<Value>, JobError> {
    match kept(ctx, model, false).await? {
        None => fresh(ctx, model).await,
        kept => Ok(kept),
    }
}

/// Asks for the schema now. It is kept before it is used, so that a later search for the create can find it.
pub async fn fresh(ctx: &Ctx, model: &str) -> Result<Option<Value>, JobError> {
    let Some(answer) = replicate::model(ctx, model).await.map_err(of_model)? else { return Ok(None) };
    let version = answer.get("latest_version").unwrap_or(&answer);
    let schemas = version.get("openapi_schema").and_then(|schema| schema.get("components")?.get("schemas"));
    let Some(schemas) = schemas.and_then(Value::as_object) else { return Ok(None) };
    // The other schemas describe predictions and are larger than all these together: they are not copied.
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
    keep_model_schema(ctx, vec![("p_model", model.into()), ("p_schema", schema.clone())]).await?;
    Ok(Some(schema))
}

/// The kept schema, at most a day old or of any age.
pub async fn kept(ctx: &Ctx, model: &str, any_age: bool) -> Result<Option<Value>, JobError> {
    if replicate::model_path(model).is_none() {
        return Ok(None);
    }
    let kept = keep_model_schema(ctx, vec![("p_model", model.into()), ("p_any_age", any_age.into())]).await?;
    Ok(Some(kept).filter(|kept| !kept.is_null()))
}

async fn keep_model_schema(ctx: &Ctx, arguments: Vec<(&str, Value)>) -> Result<Value, JobError> {
    let unavailable = |error: CallError| JobError::backoff("unavailable", error.message);
    call(ctx, "keep_model_schema", arguments).await.map_err(unavailable)
}

/// A refusal is an error in the payload.
fn of_model(error: JobError) -> JobError {
    match error.again {
        Again::Never => {
            JobError { kind: "rejected", message: format!("payload: model_id: {}", error.message), ..error }
        }
        _ => error,
    }
}
