//! Calls database functions through PostgREST. The crate postgrest renders the request; the one network port sends it
//! with a time-out, which the crate's own `execute` does not have on wasm.

use crate::ctx::Ctx;
use crate::http::{Body, Request, TransportError};
use crate::json::{self, object};
use crate::text::detail;
use ::postgrest::Postgrest;
use serde_json::Value;
use std::time::Duration;

const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Claimed payloads can be large; a larger answer is refused rather than held.
const ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;

/// A call that failed, or whose answer was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    pub message: String,
    /// The part of `message` that the database sent.
    pub said: String,
    /// The HTTP status; `None` if no answer came.
    pub status: Option<u16>,
    /// The body's `code`: a SQLSTATE of Postgres or a `PGRST…`; empty if there is none.
    pub code: String,
}

impl CallError {
    /// True if the database cannot take the arguments as they are: a data exception, a violated constraint, or an error
    /// that a function raised. Every other error is a state of the gateway, PostgREST or the server, and passes. The
    /// status does not decide, because PostgREST answers 400 to everything that it has no status for, including a
    /// connection that died (its issue 4681: no code).
    pub fn is_refusal(&self) -> bool {
        let is_of = |class: &&str| self.code.len() == 5 && self.code.starts_with(*class);
        matches!(self.status, Some(400 | 409)) && ["22", "23", "P0"].iter().any(is_of)
    }

    /// True if the database answered to what was asked of it, rather than for the server's state: an SQLSTATE outside of
    /// the classes of `is_server_state` in the schema. The next call may do better.
    pub fn is_of_statement(&self) -> bool {
        let is_of_server =
            ["08", "25", "40", "53", "54", "57", "58", "XX"].iter().any(|class| self.code.starts_with(class));
        self.code.len() == 5 && !is_of_server
    }

    /// True if the call may have been carried out although it failed. With a SQLSTATE its transaction was rolled back;
    /// PGRST001 is a connection that was lost on the way.
    pub fn may_be_done(&self) -> bool {
        matches!(self.status, None | Some(200..=299 | 400 | 408 | 500..)) && matches!(&*self.code, "" | "PGRST001")
    }

    /// True if PostgREST refused the token that the gateway made from the key. If their clocks differ ("JWT issued at
    /// future") this passes within a second or two.
    pub fn is_of_token(&self) -> bool {
        self.status == Some(401) && self.code.starts_with("PGRST3")
    }
}

/// Calls a database function with named arguments.
pub async fn call(ctx: &Ctx, function: &str, arguments: Vec<(&str, Value)>) -> Result<Value, CallError> {
    let failed = |status: Option<u16>, code: &str, what: &str, said: String| CallError {
        message: format!("{function}: {what}{said}"),
        said,
        status,
        code: code.to_owned(),
    };
    let key = &ctx.config.service_key;
    let rendered = Postgrest::new(format!("{}/rest/v1", ctx.config.supabase_url))
        .insert_header("apikey", key)
        // Without it, PostgREST uses the first exposed schema.
        .insert_header("content-profile", "public")
        // What the worker makes rings nobody (ring.sql): it is at work.
        .insert_header("x-client-info", "process-jobs")
        .rpc(function, json::without_nul(json::text(&object(arguments))))
        .auth(key)
        .build()
        .build()
        .map_err(|_| failed(None, "", "cannot be rendered for ", ctx.config.supabase_url.clone()))?;
    let headers = rendered
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect();
    let body = rendered.body().and_then(|body| body.as_bytes()).unwrap_or_default();
    let request = Request {
        method: "POST",
        url: rendered.url().to_string(),
        headers,
        body: Body::Text(String::from_utf8_lossy(body).into_owned()),
        timeout: CALL_TIMEOUT,
    };
    let lost = |error: TransportError| failed(None, "", "database did not answer: ", error.0);
    let response = ctx.http.send(request).await.map_err(lost)?;
    let status = response.status;
    let text = response.body.text(ANSWER_MAX_BYTES).await.map_err(lost)?;
    if !(200..300).contains(&status) {
        let body = json::read(&text).unwrap_or_default();
        let code = body.get("code").and_then(Value::as_str).unwrap_or_default();
        return Err(failed(Some(status), code, &format!("database answered {status}: "), detail(&text)));
    }
    json::read(&text).ok_or_else(|| unfit(function, "no JSON"))
}

/// The error for an answer that the function should not give.
pub fn unfit(function: &str, found: &str) -> CallError {
    let message = format!("{function}: database gave an answer that does not fit: {found}");
    CallError { message, said: found.to_owned(), status: Some(200), code: String::new() }
}
