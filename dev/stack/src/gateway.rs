//! One address for everything, as in a project: `/rest/v1`, `/storage/v1`, `/auth/v1`, `/realtime/v1`,
//! `/functions/v1/<name>`; and at any other path the files of an app.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use anyhow::{Context, Result};
use axum::body::{Body, HttpBody};
use axum::http::header::{CONNECTION, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tower::ServiceExt;
use tower_http::services::ServeDir;

use crate::function::Function;
use crate::realtime::Realtime;

/// The functions of the project, by name.
pub(crate) type Functions = BTreeMap<String, Function>;

/// The function that the fates of calls kill.
pub(crate) const FUNCTION: &str = "process-jobs";

/// A listening socket, whose address is known before its server has started.
pub(crate) struct Listening {
    listener: TcpListener,
    pub url: String,
}

/// Listens at this port, or at a free one.
pub(crate) async fn listen(port: Option<u16>) -> Result<Listening> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(0)));
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen at {address}"))?;
    let url = format!("http://{}", listener.local_addr()?);
    Ok(Listening { listener, url })
}

/// The fate of a call to REST or Storage: *before* it has any effect, or *after* it, before its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    PassOn,
    /// The connection closes.
    DropBefore,
    DropAfter,
    /// This status and body are the answer, as from a gateway in between.
    AnswerBefore(u16, &'static str),
    AnswerAfter(u16, &'static str),
    /// The function is killed with SIGKILL.
    KillBefore,
    KillAfter,
}

/// Decides by the path, including the query.
pub(crate) type Fates = Arc<Mutex<Box<dyn FnMut(&str) -> Fate + Send>>>;

/// Passes requests on until the task is aborted.
pub(crate) fn serve(listening: Listening, backends: Backends) -> JoinHandle<()> {
    tokio::spawn(async move {
        // The connections end with this task.
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listening.listener.accept() => accepted,
                // The end of a connection is the caller's concern.
                Some(_) = connections.join_next() => continue,
            };
            // Fails if there are no file descriptors left.
            let Ok((stream, _)) = accepted else { return };
            let _ = stream.set_nodelay(true);
            let backends = backends.clone();
            let service = service_fn(move |request| meet_fate(backends.clone(), request));
            connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades());
        }
    })
}

#[derive(Clone)]
pub(crate) struct Backends {
    pub rest_and_storage: u16,
    pub realtime: Weak<Realtime>,
    /// Connections that a caller keeps open outlive the stack, so they must not keep the functions alive.
    pub functions: Weak<Functions>,
    pub fates: Fates,
    pub site: Option<Site>,
    pub client: reqwest::Client,
}

/// An app's static files, and what its /config.json says.
#[derive(Clone)]
pub(crate) struct Site {
    files: ServeDir,
    config: serde_json::Value,
}

impl Site {
    pub fn new(files: &Path, url: &str, key: &str) -> Site {
        Site { files: ServeDir::new(files), config: serde_json::json!({ "url": url, "key": key }) }
    }
}

/// An error closes the connection without an answer.
async fn meet_fate(backends: Backends, request: Request<hyper::body::Incoming>) -> Result<Response, &'static str> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let fate = match is_of_rest_or_storage(&path) {
        true => backends.fates.lock().unwrap_or_else(PoisonError::into_inner)(&path),
        false => Fate::PassOn,
    };
    let response = match fate {
        Fate::DropBefore | Fate::AnswerBefore(..) | Fate::KillBefore => None,
        Fate::PassOn | Fate::DropAfter | Fate::AnswerAfter(..) | Fate::KillAfter => {
            Some(pass_on(&backends, &path, request).await)
        }
    };
    if let Fate::AnswerBefore(status, body) | Fate::AnswerAfter(status, body) = fate {
        let status = StatusCode::from_u16(status).map_err(|_| "no status")?;
        return Ok((status, [(CONTENT_TYPE, "application/json")], body).into_response());
    }
    if matches!(fate, Fate::KillBefore | Fate::KillAfter)
        && let Some(functions) = backends.functions.upgrade()
        && let Some(function) = functions.get(FUNCTION)
    {
        function.kill().await.map_err(|_| "the function cannot be killed")?;
    }
    response.filter(|_| fate == Fate::PassOn).ok_or("dropped")
}

fn is_of_rest_or_storage(path: &str) -> bool {
    path.starts_with("/rest/v1/") || path.starts_with("/storage/v1/")
}

async fn pass_on(backends: &Backends, path: &str, request: Request<hyper::body::Incoming>) -> Response {
    let target = if is_of_rest_or_storage(path) || path.starts_with("/auth/v1/") {
        format!("http://127.0.0.1:{}{path}", backends.rest_and_storage)
    } else if path.starts_with("/realtime/v1/websocket") {
        return match backends.realtime.upgrade() {
            Some(realtime) => realtime.connect(request.into_parts().0).await,
            None => answer(StatusCode::SERVICE_UNAVAILABLE, "the stack has stopped".to_owned()),
        };
    } else if let Some(route) = path.strip_prefix("/functions/v1/") {
        let Some(functions) = backends.functions.upgrade() else {
            return answer(StatusCode::SERVICE_UNAVAILABLE, "the stack has stopped".to_owned());
        };
        let name = route.split(['/', '?']).next().unwrap_or_default();
        let Some(function) = functions.get(name) else {
            // As the platform says it.
            let body = r#"{"code":"NOT_FOUND","message":"Requested function was not found"}"#;
            let headers = [("sb-error-code", "NOT_FOUND"), ("content-type", "application/json")];
            return (StatusCode::NOT_FOUND, headers, body).into_response();
        };
        match function.port().await {
            Ok(port) => format!("http://127.0.0.1:{port}/{route}"),
            Err(error) => return answer(StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}")),
        }
    } else if let Some(site) = &backends.site {
        if path == "/config.json" {
            return axum::Json(site.config.clone()).into_response();
        }
        return site.files.clone().oneshot(request).await.into_response();
    } else {
        return answer(StatusCode::NOT_FOUND, format!("nothing is served at {path}"));
    };
    match forward(&backends.client, &target, request.map(Body::new)).await {
        Ok(response) => response,
        // The process died during the request, or before it could answer.
        Err(error) => answer(StatusCode::BAD_GATEWAY, format!("{error:#}")),
    }
}

/// Streams both bodies: no picture is ever whole in memory here.
async fn forward(client: &reqwest::Client, target: &str, request: Request<Body>) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let mut outgoing = client.request(parts.method, target).headers(end_to_end(parts.headers));
    if !body.is_end_stream() {
        outgoing = outgoing.body(reqwest::Body::wrap_stream(body.into_data_stream()));
    }
    let answer = outgoing.send().await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    *response.headers_mut() = end_to_end(answer.headers().clone());
    *response.body_mut() = Body::from_stream(answer.bytes_stream());
    Ok(response)
}

/// Removes the headers that belong to one connection only.
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in [CONNECTION, HOST, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

fn answer(status: StatusCode, message: String) -> Response {
    (status, axum::Json(serde_json::json!({ "message": message }))).into_response()
}
