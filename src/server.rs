//! The HTTP interface: authorization, and the answer of each route.

use crate::config::Config;
use crate::ctx::Ctx;
use crate::drain::{self, DrainError, Summary};
use crate::fields::Fields;
use crate::handlers;
use crate::handlers::call_function;
use crate::handlers::images::callback;
use crate::json::{self, object};
use crate::postgrest::CallError;
use crate::queue;
use crate::replicate::Prediction;
use crate::storage;
use crate::text::cut;
use crate::webhook;
use futures_util::FutureExt;
use serde::Serialize;
use serde_json::Value;

/// A request. [`admit`] does not need its body; for [`handle`] the body is read up to one byte more than
/// [`BODY_MAX_BYTES`].
#[derive(Debug)]
pub struct Request {
    pub method: String,
    /// As the function sees it: `/process-jobs` and the rest, including the query.
    pub path: String,
    /// The names are in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, PartialEq, Serialize)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    /// A drain is to run in the background after the answer.
    pub drain: bool,
}

pub const BODY_MAX_BYTES: usize = 1024 * 1024;

impl Answer {
    fn json(status: u16, body: Vec<(&str, Value)>) -> Answer {
        let headers = Vec::from([
            ("access-control-allow-origin", "*".to_owned()),
            ("content-type", "application/json".to_owned()),
        ]);
        Answer { status, headers, body: json::text(&object(body)), drain: false }
    }

    /// The body of a refusal.
    pub fn error(status: u16, message: &str) -> Answer {
        Answer::json(status, vec![("success", false.into()), ("error", message.into())])
    }

    /// The answer if a queue call failed: 400 for the caller's mistake, 503 for a state that passes.
    fn not_done(error: &CallError) -> Answer {
        if error.is_refusal() {
            return Answer::error(400, &error.message);
        }
        let mut answer = Answer::error(503, &error.message);
        answer.headers.push(("retry-after", "5".to_owned()));
        answer
    }

    fn and_drain(self) -> Answer {
        Answer { drain: true, ..self }
    }
}

/// The answer after a drain; `message` is the first version's sentence, unchanged.
fn drained(result: Result<Summary, DrainError>) -> Answer {
    match result {
        Ok(Summary { processed, errors, snoozed }) => Answer::json(
            200,
            vec![
                ("success", true.into()),
                ("processed", processed.into()),
                ("errors", errors.into()),
                ("snoozed", snoozed.into()),
                ("message", format!("Processed {processed} job(s) with {errors} error(s)").into()),
            ],
        ),
        Err(DrainError(message)) => Answer::error(500, &message),
    }
}

/// The route of an authorized request.
enum Route<'a> {
    Drain,
    Enqueue,
    Webhook { job_id: &'a str, life: u32 },
    Report { job_id: &'a str, life: u32 },
    Health { is_open: bool },
    Metrics,
    Preflight(&'static str),
}

/// Authorizes a request before any of its body is read, which costs memory and CPU. Returns true if the body is needed,
/// or the answer that needs no body.
pub fn admit(ctx: &Ctx, request: &Request) -> Result<bool, Answer> {
    let length = request.header("content-length").and_then(|length| length.parse::<usize>().ok());
    match route(ctx, request)? {
        Route::Enqueue | Route::Webhook { .. } | Route::Report { .. } if length > Some(BODY_MAX_BYTES) => {
            Err(too_large())
        }
        Route::Enqueue | Route::Report { .. } => is_json(request).map(|()| true),
        Route::Webhook { .. } => Ok(true),
        Route::Drain | Route::Health { .. } | Route::Metrics | Route::Preflight(_) => Ok(false),
    }
}

pub async fn handle(ctx: &Ctx, request: &Request) -> Answer {
    match route(ctx, request) {
        Ok(Route::Drain) => run(ctx, request).await,
        Ok(Route::Enqueue) => enqueue(ctx, request).boxed_local().await,
        Ok(Route::Webhook { job_id, life }) => receive_webhook(ctx, request, job_id, life).boxed_local().await,
        Ok(Route::Report { job_id, life }) => receive_report(ctx, request, job_id, life).boxed_local().await,
        Ok(Route::Health { is_open: false }) => health(ctx).await,
        Ok(Route::Health { is_open: true }) => Answer::json(200, vec![("status", "ok".into())]),
        Ok(Route::Metrics) => metrics(ctx).await,
        Ok(Route::Preflight(allow)) => preflight(allow),
        Err(answer) => answer,
    }
}

/// On a route that exists, every request but `OPTIONS` and an anonymous `GET /health` must have credentials; a
/// webhook's are its token and its signature, a report's is the job's token.
fn route<'a>(ctx: &Ctx, request: &'a Request) -> Result<Route<'a>, Answer> {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let route = path.split_once("/process-jobs").map_or(path, |(_, route)| route).trim_end_matches('/');
    let allow: &'static str = match route {
        "" | "/jobs" | "/webhooks/replicate" => "POST, OPTIONS",
        "/health" | "/metrics" => "GET, OPTIONS",
        _ if route.starts_with("/jobs/") => "PATCH, OPTIONS",
        _ => return Err(Answer::error(404, &format!("no route {}", cut(route, 100)))),
    };
    if request.method == "OPTIONS" {
        return Ok(Route::Preflight(allow));
    }
    if (request.method.as_str(), route) == ("POST", "/webhooks/replicate") {
        return webhook_route(ctx, query);
    }
    if let ("PATCH", Some(job_id)) = (request.method.as_str(), route.strip_prefix("/jobs/")) {
        return report_route(ctx, request, job_id);
    }
    let credential = credential(&ctx.config, request);
    match (request.method.as_str(), route, credential) {
        ("GET", "/health", Credential::Good) => Ok(Route::Health { is_open: false }),
        ("GET", "/health", Credential::None | Credential::Insufficient) => Ok(Route::Health { is_open: true }),
        (_, _, Credential::None) => Err(Answer::error(401, "credentials are missing: send the secret key in apikey")),
        (_, _, Credential::Insufficient) => {
            Err(Answer::error(403, "these credentials do not suffice: the secret key or PROCESS_JOBS_SECRET is needed"))
        }
        ("GET", "/metrics", Credential::Good) => Ok(Route::Metrics),
        ("POST", "", Credential::Good) => Ok(Route::Drain),
        ("POST", "/jobs", Credential::Good) => Ok(Route::Enqueue),
        (method, _, Credential::Good) => {
            let message = format!("{} is not allowed here, only {allow}", cut(method, 20));
            let mut answer = Answer::error(405, &message);
            answer.headers.push(("allow", allow.to_owned()));
            Err(answer)
        }
    }
}

/// The token in its address authorizes a webhook.
fn webhook_route<'a>(ctx: &Ctx, query: &'a str) -> Result<Route<'a>, Answer> {
    let Some(webhooks) = &ctx.config.webhooks else {
        return Err(Answer::error(404, "REPLICATE_WEBHOOK_SECRET and PUBLIC_FUNCTION_URL are not both set"));
    };
    let parameter = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find_map(|(key, value)| (key == name).then_some(value)).unwrap_or_default()
    };
    let job_id = parameter("job");
    let life = parameter("life").parse().unwrap_or_default();
    if callback::is_token(webhooks, job_id, life, parameter("token")) {
        Ok(Route::Webhook { job_id, life })
    } else {
        Err(Answer::error(401, "token is not the one of this job"))
    }
}

fn report_route<'a>(ctx: &Ctx, request: &Request, job_id: &'a str) -> Result<Route<'a>, Answer> {
    let token = bearer(request).unwrap_or_default();
    if token.is_empty() {
        return Err(Answer::error(401, "token is missing: send the job's token as Bearer"));
    }
    match call_function::life(&ctx.config.caller_keys, job_id, token) {
        Some(life) => Ok(Route::Report { job_id, life }),
        None => Err(Answer::error(403, "token is not the one of this job")),
    }
}

fn too_large() -> Answer {
    Answer::error(413, &format!("the body is larger than {BODY_MAX_BYTES} bytes"))
}

fn is_json(request: &Request) -> Result<(), Answer> {
    let content_type = request.header("content-type").unwrap_or_default();
    if content_type.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let found = cut(content_type, 100);
    Err(Answer::error(415, &format!("content-type must be application/json, found {found:?}")))
}

async fn run(ctx: &Ctx, request: &Request) -> Answer {
    let prefer = request.header("prefer").unwrap_or_default();
    if prefer.split(',').any(|preference| preference.trim().eq_ignore_ascii_case("respond-async")) {
        let body = vec![("success", true.into()), ("message", "draining in the background".into())];
        return Answer::json(202, body).and_drain();
    }
    drained(drain::drain(ctx, handlers::ALL).await)
}

async fn enqueue(ctx: &Ctx, request: &Request) -> Answer {
    if request.body.len() > BODY_MAX_BYTES {
        return too_large();
    }
    if let Err(answer) = is_json(request) {
        return answer;
    }
    let body = json::read_whole(&request.body).map_err(|wrong| format!("body {wrong}"));
    let arguments = match body.and_then(|body| enqueue_arguments(&body)) {
        Ok(arguments) => arguments,
        Err(message) => return Answer::error(400, &message),
    };
    match queue::enqueue(ctx, arguments).await {
        Ok(id) => Answer::json(201, vec![("id", id.into())]).and_drain(),
        Err(error) => Answer::not_done(&error),
    }
}

/// The arguments of `enqueue_job`, whose defaults apply to absent ones.
fn enqueue_arguments(body: &Value) -> Result<Vec<(&'static str, Value)>, String> {
    let fields = Fields::of("body", body)?;
    fields.only(&["job_type", "payload", "priority", "max_attempts", "scheduled_at", "unique_key", "notify_url"])?;
    if let Some(path) = path_of_nul(body) {
        return Err(format!("body: {} must not hold \\u0000", cut(path.trim_start_matches('.'), 200)));
    }
    let count = |field: &str| fields.integer(field, i64::from(i32::MIN)..=i64::from(i32::MAX));
    let job_type = fields.required("job_type", fields.text("job_type")?)?;
    let payload = fields.required("payload", fields.value("payload"))?;
    let arguments = [
        ("p_job_type", Some(Value::from(job_type))),
        ("p_payload", Some(payload.clone())),
        ("p_priority", count("priority")?.map(Value::from)),
        ("p_max_attempts", count("max_attempts")?.map(Value::from)),
        ("p_scheduled_at", fields.time("scheduled_at")?.map(Value::from)),
        ("p_unique_key", fields.text("unique_key")?.map(Value::from)),
        ("p_notify_url", fields.text("notify_url")?.map(Value::from)),
    ];
    Ok(arguments.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

/// The path to a text or a name that holds NUL, which no Postgres text holds.
fn path_of_nul(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(items) => {
            let in_items = items.iter().enumerate();
            in_items.filter_map(|(at, item)| Some(format!("[{at}]{}", path_of_nul(item)?))).next()
        }
        Value::Object(fields) => {
            let path = |(name, value): (&String, &Value)| {
                if name.contains('\0') {
                    return Some(format!(".{}", name.replace('\0', "\\u0000")));
                }
                Some(format!(".{name}{}", path_of_nul(value)?))
            };
            fields.iter().filter_map(path).next()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// Wakes the job whose prediction has ended. Answers with success once the event is kept, so that Replicate tries again
/// until then. An event that is not news wakes nothing; what the prediction used is recorded, also for a job that has ended.
async fn receive_webhook(ctx: &Ctx, request: &Request, job_id: &str, life: u32) -> Answer {
    let Some(webhooks) = &ctx.config.webhooks else { return Answer::error(404, "there are no webhooks") };
    if request.body.len() > BODY_MAX_BYTES {
        return too_large();
    }
    let header = |name: &str| request.header(name).unwrap_or_default();
    let signature = webhook::Signature {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signatures: header("webhook-signature"),
    };
    if let Err(message) = webhook::verify(&webhooks.key, &signature, &request.body, ctx.clock.unix_seconds()) {
        return Answer::error(401, message);
    }
    let body = json::read(&request.body).ok_or_else(|| "body is not JSON".to_owned());
    let read = body.and_then(|body| Ok((Prediction::read(&body)?.usage(), callback::event(&body))));
    let (usage, event) = match read {
        Ok(read) => read,
        Err(message) => return Answer::error(400, &message),
    };
    // It still runs.
    let Some(usage) = usage else { return woken(false) };
    match queue::wake(ctx, job_id, life, event, Some(usage)).await {
        Ok(news) => woken(news),
        Err(error) => Answer::not_done(&error),
    }
}

fn woken(woken: bool) -> Answer {
    Answer { drain: woken, ..Answer::json(200, vec![("success", true.into()), ("woken", woken.into())]) }
}

/// Notes what a called function, or whoever works for it, tells of its job: how far it is, or its end.
async fn receive_report(ctx: &Ctx, request: &Request, job_id: &str, life: u32) -> Answer {
    if request.body.len() > BODY_MAX_BYTES {
        return too_large();
    }
    if let Err(answer) = is_json(request) {
        return answer;
    }
    let body = json::read_whole(&request.body).map_err(|wrong| format!("body {wrong}"));
    let read = body.and_then(|body| Ok((report(&body)?, body)));
    let (progress, event) = match read {
        Ok((Some(progress), _)) => (progress, None),
        Ok((None, body)) => (0, Some(body)),
        Err(message) => return Answer::error(400, &message),
    };
    let ends = event.is_some();
    let noted = match event {
        None => queue::report_progress(ctx, job_id, life, progress).await,
        Some(event) => queue::wake(ctx, job_id, life, event, None).await,
    };
    match noted {
        Ok(true) => {
            let headers = Vec::from([("access-control-allow-origin", "*".to_owned())]);
            Answer { status: 204, headers, body: String::new(), drain: ends }
        }
        Ok(false) => Answer::error(409, "the job has ended, or knows this already"),
        Err(error) => Answer::not_done(&error),
    }
}

/// The progress that a report tells; `None` if it tells the end.
fn report(body: &Value) -> Result<Option<i64>, String> {
    let fields = Fields::of("body", body)?;
    let progress = fields.integer("progress", 0..=100)?;
    match (progress, fields.text("status")?) {
        (Some(_), None) => fields.only(&["progress"])?,
        (None, Some("completed")) => fields.only(&["status", "result"])?,
        (None, Some("failed")) => {
            fields.only(&["status", "error"])?;
            fields.required("error", fields.text("error")?)?;
        }
        (None, Some(_)) => return Err("body: status must be completed or failed".to_owned()),
        (Some(_), Some(_)) | (None, None) => return Err("body must have either progress or status".to_owned()),
    }
    Ok(progress)
}

async fn health(ctx: &Ctx) -> Answer {
    match queue::stats(ctx).await {
        Ok(mut stats) => {
            let mut missing: Vec<String> = ctx.config.missing().into_iter().map(str::to_owned).collect();
            if !storage::has_bucket(ctx).await {
                missing.push(storage::NO_BUCKET.to_owned());
            }
            let schema = stats.as_object_mut().and_then(|stats| stats.remove("version"));
            let version = object(vec![("function", queue::VERSION.into()), ("schema", schema.unwrap_or_default())]);
            let body =
                vec![("status", "ok".into()), ("version", version), ("queue", stats), ("missing", missing.into())];
            Answer::json(200, body)
        }
        Err(error) => Answer::json(503, vec![("status", "error".into()), ("error", error.message.into())]),
    }
}

/// The metrics in Prometheus's text format.
async fn metrics(ctx: &Ctx) -> Answer {
    match queue::metrics(ctx).await {
        Ok(text) => {
            let headers = Vec::from([("content-type", "text/plain; version=0.0.4".to_owned())]);
            Answer { status: 200, headers, body: text, drain: false }
        }
        Err(error) => Answer::error(503, &error.message),
    }
}

fn preflight(allow: &str) -> Answer {
    let headers = Vec::from([
        ("access-control-allow-origin", "*".to_owned()),
        ("access-control-allow-methods", allow.to_owned()),
        (
            "access-control-allow-headers",
            "authorization, apikey, content-type, prefer, x-client-info, x-process-jobs-secret".to_owned(),
        ),
    ]);
    Answer { status: 204, headers, body: String::new(), drain: false }
}

enum Credential {
    None,
    /// An anonymous or publishable key, a user's token, or a wrong key.
    Insufficient,
    Good,
}

fn credential(config: &Config, request: &Request) -> Credential {
    let header = |name: &str| request.header(name).map(str::trim);
    let keys = [header("apikey"), bearer(request)];
    let secret = header("x-process-jobs-secret");
    let good_key = keys.iter().flatten().any(|found| config.caller_keys.iter().any(|key| is_equal(key, found)));
    let good_secret =
        secret.is_some_and(|found| config.process_jobs_secret.as_ref().is_some_and(|key| is_equal(key, found)));
    if good_key || good_secret {
        Credential::Good
    } else if keys.iter().flatten().chain(&secret).any(|found| !found.is_empty()) {
        Credential::Insufficient
    } else {
        Credential::None
    }
}

fn bearer(request: &Request) -> Option<&str> {
    request.header("authorization").map(str::trim).map(|value| match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => value,
    })
}

/// Compares in a time that does not reveal how much of `found` is right.
fn is_equal(key: &str, found: &str) -> bool {
    constant_time_eq::constant_time_eq(key.as_bytes(), found.as_bytes())
}
