//! What the worker needs of the outside: the network, the clock, the log, and its configuration.

use crate::bell::Bell;
use crate::config::Config;
use crate::event::Event;
use futures_util::future::LocalBoxFuture;
use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// The ports and the configuration, handed first to every function that reaches outside.
pub struct Ctx {
    pub http: Box<dyn Http>,
    pub clock: Box<dyn Clock>,
    pub observer: Box<dyn Observer>,
    /// The isolate's one, for all drains in it.
    pub bell: Rc<Bell>,
    /// Whether the bucket was seen in this isolate.
    pub bucket_seen: Rc<Cell<bool>>,
    pub config: Config,
}

/// The one door to the network.
pub trait Http {
    /// Sends one request, following no redirects.
    ///
    /// Fails when no answer came: connection refused or lost, or `request.timeout` over before the
    /// answer's head. An answer with an error status is an `Ok`. The time-out also bounds the
    /// reading of a text answer and the sending of a streamed body.
    fn send(&self, request: Request) -> LocalBoxFuture<'_, Result<Response, TransportError>>;
}

/// The only source of time.
pub trait Clock {
    /// Milliseconds since some fixed moment; never goes back.
    fn now_milliseconds(&self) -> u64;
    /// Seconds since 1970. For the times of others only: ours are the database's.
    fn unix_seconds(&self) -> u64;
    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()>;
}

/// Where events go; on the platform, the function's log.
pub trait Observer {
    fn observe(&self, event: &Event<'_>);
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
    /// The rest of an answer, sent on without being held; `meter` counts it and stops it at its limit.
    Stream {
        content: Box<dyn Incoming>,
        meter: Meter,
    },
}

pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Box<dyn Incoming>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The body of an answer, not yet read.
pub trait Incoming {
    /// Reads the whole body as UTF-8, invalid bytes replaced. Fails past `max_bytes`.
    fn text(self: Box<Self>, max_bytes: usize) -> LocalBoxFuture<'static, Result<String, TransportError>>;
    /// The first bytes, at least `min_bytes` of them unless the body is shorter. They stay part of the body.
    fn peek(&mut self, min_bytes: usize) -> LocalBoxFuture<'_, Result<Vec<u8>, TransportError>>;
    /// The next bytes, those that were looked at first; none: that was all.
    fn chunk(&mut self) -> LocalBoxFuture<'_, Result<Option<Vec<u8>>, TransportError>>;
    /// Gives the port its own type back, to stream from.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

/// Counts the bytes of a stream and says when there are too many.
#[derive(Clone)]
pub struct Meter {
    bytes: Rc<Cell<u64>>,
    limit: u64,
}

impl Meter {
    pub fn new(limit: u64) -> Meter {
        Meter { bytes: Rc::default(), limit }
    }

    /// Adds a chunk; false when the limit is exceeded and the stream must end.
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

/// No answer, or an answer that broke off: whether the other side acted is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportError(pub String);

impl fmt::Display for TransportError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
