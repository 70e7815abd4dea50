//! HTTP as the worker uses it: a request, its answer, and the one port that sends.

use crate::fields;
use crate::text::number;
use futures_util::future::LocalBoxFuture;
use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// The only access to the network.
pub trait Http {
    /// Sends one request and follows no redirects.
    ///
    /// Fails if no answer came: the connection was refused or lost, or `request.timeout` passed before the answer's
    /// head. An answer with an error status is an `Ok`. The time-out also limits the reading of a text answer and the
    /// sending of a streamed body.
    fn send(&self, request: Request) -> LocalBoxFuture<'_, Result<Response, TransportError>>;

    /// The IP addresses of a host, by its name. Fails if it has none, or that could not be found out.
    fn addresses(&self, host: String) -> LocalBoxFuture<'_, Result<Vec<String>, TransportError>>;
}

pub struct Request {
    pub method: &'static str,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Body,
    pub timeout: Duration,
}

pub enum Body {
    Empty,
    Text(String),
    /// The rest of an answer, sent on without being held. `meter` counts its bytes and stops it at its limit.
    Stream {
        content: Box<dyn Incoming>,
        meter: Meter,
    },
}

pub struct Response {
    pub status: u16,
    /// In bytes, as announced.
    pub content_length: Option<u64>,
    /// The address that a redirect leads to. A success has none, whatever it was sent with.
    pub location: Option<String>,
    /// As sent, of an answer that is no success.
    pub retry_after: Option<String>,
    /// Supabase's `sb-error-code`, of an answer that is no success.
    pub error_code: Option<String>,
    pub body: Box<dyn Incoming>,
}

impl Response {
    /// Reads the body of an unsuccessful answer, up to 64 KiB.
    pub async fn refusal(self) -> Refusal {
        let Response { status, retry_after, body: mut content, .. } = self;
        let body = content.peek(REFUSAL_MAX_BYTES).await.unwrap_or_default();
        let body = String::from_utf8_lossy(body.get(..REFUSAL_MAX_BYTES).unwrap_or(&body)).into_owned();
        Refusal { status, retry_after, body }
    }
}

const REFUSAL_MAX_BYTES: usize = 64 * 1024;

/// An unsuccessful answer, with its body read.
#[derive(Debug)]
pub struct Refusal {
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: String,
}

impl Refusal {
    /// The wait that `Retry-After` asks for in seconds; one that is a date counts as none.
    pub fn wait(&self) -> Option<Duration> {
        self.retry_after.as_deref().and_then(number).and_then(fields::seconds)
    }
}

/// The body of an answer, not yet read.
pub trait Incoming {
    /// Reads the whole body as UTF-8, with invalid bytes replaced. Fails past `max_bytes`.
    fn text(self: Box<Self>, max_bytes: usize) -> LocalBoxFuture<'static, Result<String, TransportError>>;
    /// Returns the first bytes: at least `min_bytes`, unless the body is shorter. They stay part of the body.
    fn peek(&mut self, min_bytes: usize) -> LocalBoxFuture<'_, Result<Vec<u8>, TransportError>>;
    /// Returns the next bytes, beginning with those that were peeked at; `None` at the end.
    fn chunk(&mut self) -> LocalBoxFuture<'_, Result<Option<Vec<u8>>, TransportError>>;
    /// Gives the port its own type back, for streaming.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

/// Counts the bytes of a stream and reports when the limit is exceeded.
#[derive(Clone)]
pub struct Meter {
    bytes: Rc<Cell<u64>>,
    limit: u64,
}

impl Meter {
    pub fn new(limit: u64) -> Meter {
        Meter { bytes: Rc::default(), limit }
    }

    /// Adds a chunk. Returns false if the limit is exceeded and the stream must end.
    pub fn add(&self, bytes: u64) -> bool {
        self.bytes.set(self.bytes.get().saturating_add(bytes));
        !self.exceeded()
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    pub fn exceeded(&self) -> bool {
        self.bytes.get() > self.limit
    }
}

/// No answer came, or it broke off. The other side may or may not have acted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportError(pub String);

impl fmt::Display for TransportError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
