//! One address for everything, like a project's: `/rest/v1`, `/storage/v1`, `/functions/v1/process-jobs`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};

use anyhow::Result;
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::function::Function;

const FUNCTION: &str = "/functions/v1/process-jobs";

/// A listening socket whose address is known before what it stands for has been started.
pub(crate) struct Listening {
    listener: TcpListener,
    pub url: String,
}

pub(crate) async fn listen() -> Result<Listening> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let url = format!("http://{}", listener.local_addr()?);
    Ok(Listening { listener, url })
}

/// Passes requests on until the task is aborted.
pub(crate) fn serve(listening: Listening, rest_and_storage: u16, function: &Arc<Function>) -> JoinHandle<()> {
    let backends = Backends { rest_and_storage, function: Arc::downgrade(function), client: reqwest::Client::new() };
    let router = Router::new().fallback(pass_on).with_state(backends);
    tokio::spawn(async move {
        let _ = axum::serve(listening.listener, router).await;
    })
}

#[derive(Clone)]
struct Backends {
    rest_and_storage: u16,
    /// Connections that a caller keeps open outlive the stack and must not keep the function alive.
    function: Weak<Function>,
    client: reqwest::Client,
}

async fn pass_on(State(backends): State<Backends>, request: Request) -> Response {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let target = if path.starts_with("/rest/v1/") || path.starts_with("/storage/v1/") {
        format!("http://127.0.0.1:{}{path}", backends.rest_and_storage)
    } else if let Some(rest) =
        path.strip_prefix(FUNCTION).filter(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
    {
        let Some(function) = backends.function.upgrade() else {
            return answer(StatusCode::SERVICE_UNAVAILABLE, "the stack has stopped".to_owned());
        };
        match function.port().await {
            Ok(port) => format!("http://127.0.0.1:{port}/process-jobs{rest}"),
            Err(error) => return answer(StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}")),
        }
    } else {
        return answer(StatusCode::NOT_FOUND, format!("nothing is served at {path}"));
    };
    match forward(&backends.client, &target, request).await {
        Ok(response) => response,
        // The process died with the request, or before it could answer.
        Err(error) => answer(StatusCode::BAD_GATEWAY, format!("{error:#}")),
    }
}

/// Both bodies are streamed: a picture is never whole in memory here.
async fn forward(client: &reqwest::Client, target: &str, request: Request) -> Result<Response> {
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

/// Without what belongs to one connection only.
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in [CONNECTION, HOST, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

fn answer(status: StatusCode, message: String) -> Response {
    (status, axum::Json(serde_json::json!({ "message": message }))).into_response()
}
