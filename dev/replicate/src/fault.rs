//! Faults between Replicate and its caller, on demand.

use std::time::Duration;

/// The calls that a fault can affect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST /predictions` and `POST /models/{owner}/{name}/predictions`
    Create,
    /// `GET /predictions/{id}`
    Get,
    /// `GET /predictions`
    List,
    /// `POST /predictions/{id}/cancel`
    Cancel,
    /// an output file
    File,
}

/// One faulty answer. "Before": the request has no effect. "After": it has one, and a create is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 401
    Unauthorized,
    /// 402 "Insufficient credit"
    InsufficientCredit,
    /// 429, the seconds only in the `Retry-After` header
    ThrottledHeader(u64),
    /// 429, the seconds only in the body's `retry_after`
    ThrottledBody(u64),
    /// 429, the seconds only in the text of `detail`
    ThrottledText(u64),
    /// this status with a plain text body, before
    Status(u16),
    /// this status with a plain text body, after
    StatusAfter(u16),
    /// the connection is closed without an answer, before
    DropBefore,
    /// the connection is closed without an answer, after; a file breaks off in the middle
    DropAfter,
    /// 200 or 201 with a body that is not JSON, after
    Garbage,
    /// the right answer, delayed by this time, after
    Late(Duration),
    /// no answer, however long the caller waits, after
    Hang,
}

/// Replicate's treatment of the account, until it is set again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Normal,
    /// the token is refused: every call of the API is 401
    Unauthorized,
    /// creates are 402
    InsufficientCredit,
    /// creates are limited to 6 a minute with a burst of 1
    LowCredit,
}
