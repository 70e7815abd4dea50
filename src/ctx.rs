//! The ports and the configuration: the first argument of every function that reaches outside.

use crate::config::Config;
use crate::http::Http;
use crate::notify::Notify;
use futures_util::future::LocalBoxFuture;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

pub struct Ctx {
    pub http: Box<dyn Http>,
    pub clock: Box<dyn Clock>,
    pub ids: Box<dyn Ids>,
    pub log: Box<dyn Log>,
    /// One per isolate, shared by all drains in it.
    pub notify: Rc<Notify>,
    /// True once this isolate has seen the bucket.
    pub bucket_seen: Rc<Cell<bool>>,
    pub config: Config,
}

/// The only source of time.
pub trait Clock {
    /// Milliseconds since some fixed moment; never decreases.
    fn now_milliseconds(&self) -> u64;
    /// Seconds since 1970, only for comparing with times of other services: the worker's own times are the database's.
    fn unix_seconds(&self) -> u64;
    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()>;
}

/// The only source of chance.
pub trait Ids {
    /// A random UUID.
    fn uuid(&self) -> String;
}

/// Receives the log's lines.
pub trait Log {
    /// `line` is one line of JSON.
    fn write(&self, level: Level, line: &str);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Info,
    Warning,
    Error,
}

/// Converts to the clock's unit; a duration that does not fit becomes `u64::MAX`.
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
