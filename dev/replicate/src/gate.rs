//! The steps before every request: its record, faults, the token, the rate limits.

use std::io;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State as Handle;
use axum::http::{HeaderMap, HeaderName, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::answer;
use crate::fault::{Endpoint, Fault, Mode};
use crate::state::Shared;

/// A request as the caller made it.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// with the query
    pub path: String,
    /// none: no fault can affect this call
    pub endpoint: Option<Endpoint>,
    /// none while it is under way, and if it got no answer
    pub status: Option<u16>,
    pub authorization: Option<String>,
    pub prefer: Option<String>,
    pub cancel_after: Option<String>,
    pub user_agent: Option<String>,
}

/// Closes, when cancelled, the connection of the request.
#[derive(Clone)]
pub struct Connection(pub CancellationToken);

pub async fn api(
    handle: Handle<Arc<Shared>>,
    Extension(connection): Extension<Connection>,
    request: axum::extract::Request,
    next: Next,
) -> Response {
    let endpoint = endpoint(request.method(), request.uri().path());
    pass(handle, connection, endpoint, request, next, true).await
}

pub async fn files(
    handle: Handle<Arc<Shared>>,
    Extension(connection): Extension<Connection>,
    request: axum::extract::Request,
    next: Next,
) -> Response {
    pass(handle, connection, Some(Endpoint::File), request, next, false).await
}

async fn pass(
    Handle(shared): Handle<Arc<Shared>>,
    connection: Connection,
    endpoint: Option<Endpoint>,
    request: axum::extract::Request,
    next: Next,
    with_token: bool,
) -> Response {
    let (place, fault) = {
        let mut state = shared.state();
        state.requests.push(note(endpoint, &request));
        (state.requests.len() - 1, endpoint.and_then(|endpoint| state.take_fault(endpoint)))
    };
    let response = match fault.and_then(before) {
        Some(Before::Answer(response)) => response,
        Some(Before::Drop) => close(&connection).await,
        None => {
            let refused = if with_token { refuse(&shared, endpoint, request.headers()) } else { None };
            let response = match refused {
                Some(response) => response,
                None => next.run(request).await,
            };
            match fault {
                Some(fault) => after(fault, endpoint, response, &connection).await,
                None => response,
            }
        }
    };
    if let Some(request) = shared.state().requests.get_mut(place) {
        request.status = Some(response.status().as_u16());
    }
    response
}

enum Before {
    Answer(Response),
    Drop,
}

fn before(fault: Fault) -> Option<Before> {
    let answer = match fault {
        Fault::Unauthorized => answer::unauthorized(),
        Fault::InsufficientCredit => answer::insufficient_credit(),
        Fault::ThrottledHeader(seconds) => answer::throttled_by_header(seconds),
        Fault::ThrottledBody(seconds) => answer::throttled_by_body(seconds),
        Fault::ThrottledText(seconds) => answer::throttled_by_text(seconds),
        Fault::Status(status) => answer::plain(status),
        Fault::DropBefore => return Some(Before::Drop),
        Fault::StatusAfter(_) | Fault::DropAfter | Fault::Garbage | Fault::Late(_) | Fault::Hang => return None,
    };
    Some(Before::Answer(answer))
}

async fn after(fault: Fault, endpoint: Option<Endpoint>, response: Response, connection: &Connection) -> Response {
    match fault {
        Fault::StatusAfter(status) => answer::plain(status),
        Fault::DropAfter if endpoint == Some(Endpoint::File) => broken_off(response),
        Fault::DropAfter => close(connection).await,
        Fault::Garbage => (response.status(), "<html><body>It works!</body></html>").into_response(),
        Fault::Late(time) => {
            tokio::time::sleep(time).await;
            response
        }
        Fault::Hang => std::future::pending().await,
        Fault::Unauthorized
        | Fault::InsufficientCredit
        | Fault::ThrottledHeader(_)
        | Fault::ThrottledBody(_)
        | Fault::ThrottledText(_)
        | Fault::Status(_)
        | Fault::DropBefore => response,
    }
}

async fn close(connection: &Connection) -> Response {
    connection.0.cancel();
    std::future::pending().await
}

/// The headers announce the whole file; the connection breaks after half of the first piece.
fn broken_off(response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let half = body.into_data_stream().take(1).map(|piece| piece.map(|bytes| bytes.slice(..bytes.len() / 2)));
    let broken = stream::once(async {
        // Otherwise hyper meets the error before it has even sent the headers.
        tokio::task::yield_now().await;
        Err(axum::Error::new(io::Error::from(io::ErrorKind::ConnectionReset)))
    });
    Response::from_parts(parts, Body::from_stream(half.chain(broken)))
}

fn refuse(shared: &Shared, endpoint: Option<Endpoint>, headers: &HeaderMap) -> Option<Response> {
    let mut state = shared.state();
    let bearer = text(headers, header::AUTHORIZATION).and_then(|value| Some(value.strip_prefix("Bearer ")?.to_owned()));
    if state.mode == Mode::Unauthorized || bearer.as_deref() != Some(shared.options.token.as_str()) {
        return Some(answer::unauthorized());
    }
    let create = endpoint == Some(Endpoint::Create);
    if let Err(seconds) = state.take_token(create, shared.clock.now()) {
        let low = create && state.mode == Mode::LowCredit;
        return Some(if low { answer::throttled_for_low_credit(seconds) } else { answer::throttled(seconds) });
    }
    (create && state.mode == Mode::InsufficientCredit).then(answer::insufficient_credit)
}

fn endpoint(method: &Method, path: &str) -> Option<Endpoint> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (method.as_str(), parts.as_slice()) {
        ("POST", ["v1", "predictions"] | ["v1", "models", _, _, "predictions"]) => Some(Endpoint::Create),
        ("GET", ["v1", "predictions"]) => Some(Endpoint::List),
        ("GET", ["v1", "predictions", _]) => Some(Endpoint::Get),
        ("POST", ["v1", "predictions", _, "cancel"]) => Some(Endpoint::Cancel),
        _ => None,
    }
}

fn note(endpoint: Option<Endpoint>, request: &axum::extract::Request) -> Request {
    let headers = request.headers();
    Request {
        method: request.method().to_string(),
        path: request.uri().to_string(),
        endpoint,
        status: None,
        authorization: text(headers, header::AUTHORIZATION),
        prefer: text(headers, HeaderName::from_static("prefer")),
        cancel_after: text(headers, HeaderName::from_static("cancel-after")),
        user_agent: text(headers, header::USER_AGENT),
    }
}

pub fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}
