//! Creates a prediction after the request's checks, in Replicate's order and words.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use crate::answer::{self, Refusal};
use crate::catalogue::{Model, Shape};
use crate::gate::text;
use crate::picture::{self, Picture};
use crate::prediction::{Ending, Prediction, Record};
use crate::schema;
use crate::script::{Output, Script};
use crate::state::Shared;
use crate::webhook::{self, Webhook};

/// `POST /predictions`; `named` is the model of `POST /models/{owner}/{name}/predictions`.
pub async fn create(
    shared: &Arc<Shared>,
    named: Option<&str>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Refusal> {
    let body: Value =
        serde_json::from_slice(body).map_err(|error| answer::bad_request(&format!("the body is not JSON: {error}")))?;
    if let Some(id) = named
        && !shared.catalogue.by_name(id).is_some_and(|model| model.official)
    {
        return Err(answer::not_found().into());
    }
    refuse_unless(&envelope(named.is_none()), &body, "", "")?;
    let webhook = Webhook::of_create(&body)?;
    let (model, version) = match named {
        Some(id) => (shared.catalogue.by_name(id).ok_or_else(answer::not_found)?, "hidden"),
        None => find(shared, body["version"].as_str().unwrap_or_default())?,
    };
    refuse_unless(model.input_schema(), &body["input"], "input", "")?;
    let lifetime = match text(headers, HeaderName::from_static("cancel-after")) {
        Some(value) => Some(parse_lifetime(&value).ok_or_else(|| {
            answer::problem(
                StatusCode::UNPROCESSABLE_ENTITY,
                "Invalid Cancel-After header",
                "Cancel-After must be a duration of at least 5 seconds, such as 30s, 5m or 1h30m45s",
            )
        })?),
        None => None,
    };

    let input = model.known_inputs(body["input"].as_object().unwrap_or(&Map::new()));
    let script = Script::of_prompt(input.get("prompt").and_then(Value::as_str).unwrap_or_default());
    let webhook_script = script.webhook;
    let created = record(shared, model, version, input, script, lifetime, webhook.as_ref().map(Webhook::url)).await;
    let prediction = created.at(created.created_at);
    shared.state().add(created);
    if let Some(webhook) = webhook {
        webhook::follow(shared, prediction.id.clone(), webhook, webhook_script);
    }
    let (status, prediction) = match text(headers, HeaderName::from_static("prefer")).as_deref().and_then(parse_wait) {
        Some(wait) => wait_for(shared, prediction, wait).await,
        None => (StatusCode::CREATED, prediction),
    };
    let object = prediction.to_json(&shared.api_url);
    let mut response = answer::json_answer(status, &object);
    if let Some(location) = object["urls"]["get"].as_str().and_then(|url| url.parse().ok()) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// The schema of the request's body (Replicate's OpenAPI document).
fn envelope(with_version: bool) -> Value {
    let mut schema = json!({
        "type": "object",
        "required": ["input"],
        "additionalProperties": false,
        "properties": {
            "input": {"type": "object"},
            "stream": {"type": "boolean"},
            "webhook": {"type": "string"},
            "webhook_events_filter": {
                "type": "array",
                "items": {"type": "string", "enum": ["start", "output", "logs", "completed"]},
            },
        },
    });
    if with_version {
        schema["required"] = json!(["version", "input"]);
        schema["properties"]["version"] = json!({"type": "string"});
    }
    schema
}

fn refuse_unless(schema: &Value, value: &Value, path: &str, name: &str) -> Result<(), Refusal> {
    let mut found = Vec::new();
    schema::check(schema, value, path, name, &mut found);
    if found.is_empty() { Ok(()) } else { Err(answer::invalid(&found).into()) }
}

/// Finds `owner/name` of an official model, `owner/name:64hex`, or `64hex`; with the version to show.
fn find<'a>(shared: &'a Shared, version: &str) -> Result<(&'a Model, &'a str), Refusal> {
    let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let model = if is_hash(version) {
        shared.catalogue.by_version(version)
    } else if let Some((id, hash)) = version.split_once(':') {
        shared.catalogue.by_version(hash).filter(|model| model.id == id)
    } else if version.contains('/') {
        let model = shared.catalogue.by_name(version).ok_or_else(answer::not_found)?;
        Some(model).filter(|model| model.official)
    } else {
        None
    };
    let model = model.ok_or_else(answer::invalid_version)?;
    let shown = if model.official { "hidden" } else { model.version.as_deref().unwrap_or("hidden") };
    Ok((model, shown))
}

async fn record(
    shared: &Shared,
    model: &Model,
    version: &str,
    input: Map<String, Value>,
    script: Script,
    lifetime: Option<Duration>,
    webhook: Option<String>,
) -> Record {
    // 26 characters of five bits each, like Replicate's ids.
    let random = uuid::Uuid::new_v4().as_u128();
    let id: String = (0..26)
        .map(|place| char::from(b"abcdefghijklmnopqrstuvwxyz234567"[(random >> (5 * place) & 31) as usize]))
        .collect();
    let prompt = input.get("prompt").and_then(Value::as_str).unwrap_or_default();

    let (width, height) = shared.catalogue.size(model, &input);
    let pictures: Vec<Picture> = (0..model.count(&input).saturating_sub(script.fewer.into()))
        .map(|number| Picture {
            format: model.format(&input),
            width,
            height,
            colour: picture::colour((prompt, input.get("seed").map(Value::to_string), number)),
        })
        .collect();
    let output = output(shared, model, &id, &pictures, script.output).await;

    let failure = script.failure.filter(|failure| {
        !failure.once || shared.state().failed_once.insert(format!("{} {}", model.id, Value::from(input.clone())))
    });
    let ending = failure.map_or(Ending::Succeeded, |failure| Ending::Failed(failure.error(&id)));
    let later = |duration: Duration| SignedDuration::try_from(duration).unwrap_or_default();
    let created_at = shared.clock.now();
    let starts_at = created_at + later(shared.options.starting);
    let steps = model.steps(&input);
    Record {
        id,
        model: model.id.clone(),
        version: version.to_owned(),
        input,
        created_at,
        deadline: lifetime.map(|lifetime| created_at + later(lifetime)),
        webhook,
        starts_at,
        ends: (!script.hang).then(|| (starts_at + later(shared.options.processing), ending)),
        processing: shared.options.processing,
        steps,
        output,
        retention: if script.gone { Duration::ZERO } else { shared.options.retention },
        pictures,
        file: script.file,
    }
    .with_deadline()
}

async fn output(shared: &Shared, model: &Model, id: &str, pictures: &[Picture], shape: Output) -> Value {
    let urls: Vec<String> = pictures
        .iter()
        .enumerate()
        .map(|(number, picture)| {
            format!("http://{}/xezq/{id}/out-{number}.{}", shared.files_host, picture.format.extension())
        })
        .collect();
    let array = shape == Output::Array || (shape == Output::AsTheModel && matches!(model.output, Shape::Array));
    match shape {
        Output::Empty => json!([]),
        Output::Object => json!({"url": urls.first()}),
        Output::Data => match pictures.first() {
            Some(picture) => {
                let bytes = shared.bytes(*picture).await.unwrap_or_default();
                format!("data:{};base64,{}", picture.format.content_type(), STANDARD.encode(bytes)).into()
            }
            None => Value::Null,
        },
        Output::AsTheModel | Output::Array | Output::String if array => json!(urls),
        Output::AsTheModel | Output::Array | Output::String => json!(urls.first()),
    }
}

/// 201 with the final state, or 202 with the state `starting` when the wait is over: Replicate's answer then, whatever
/// the prediction does.
async fn wait_for(shared: &Shared, created: Prediction, wait: Duration) -> (StatusCode, Prediction) {
    let timeout = tokio::time::sleep(wait);
    tokio::pin!(timeout);
    loop {
        let mut cancelled = std::pin::pin!(shared.cancelled.notified());
        cancelled.as_mut().enable();
        let (now, ends_at) = {
            let now = shared.clock.now();
            let mut state = shared.state();
            match state.record(&created.id) {
                Some(record) if record.status(now).is_terminal() => return (StatusCode::CREATED, record.at(now)),
                Some(record) => (now, record.ends.as_ref().map(|(at, _)| *at)),
                None => (now, None),
            }
        };
        let finished = shared.clock.sleep_until(ends_at.unwrap_or(now + SignedDuration::from_hours(1)));
        tokio::select! {
            () = &mut timeout => return (StatusCode::ACCEPTED, created),
            () = cancelled => {}
            () = finished => {}
        }
    }
}

/// `wait` (60 s) or `wait=n`, n from 1, at most 60 s; anything else does not wait.
fn parse_wait(prefer: &str) -> Option<Duration> {
    let seconds = match prefer.trim().strip_prefix("wait")? {
        "" => 60,
        rest => rest.strip_prefix('=')?.parse::<u64>().ok().filter(|seconds| *seconds > 0)?.min(60),
    };
    Some(Duration::from_secs(seconds))
}

/// `30`, `30s`, `5m`, `1h30m45s`; `None` for anything else and for less than 5 s.
fn parse_lifetime(text: &str) -> Option<Duration> {
    let mut seconds = 0_u64;
    let mut number = String::new();
    let mut last_unit = u64::MAX;
    for c in text.chars() {
        let unit = match c {
            '0'..='9' => {
                number.push(c);
                continue;
            }
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        if unit >= last_unit {
            return None;
        }
        last_unit = unit;
        seconds = seconds.checked_add(std::mem::take(&mut number).parse::<u64>().ok()?.checked_mul(unit)?)?;
    }
    if last_unit == u64::MAX {
        seconds = number.parse().ok()?;
    } else if !number.is_empty() {
        return None;
    }
    // A year is longer than any prediction lives and keeps times in range.
    (5..=31_536_000).contains(&seconds).then(|| Duration::from_secs(seconds))
}
