//! The events that a drain waits for.

use super::next::Due;
use crate::job::{Job, Outcome};
use crate::postgrest::CallError;
use crate::queue::{Claim, Settled};
use std::time::Duration;

/// An event: something under way has ended.
pub enum Step {
    Called(Called),
    /// The time when there may be a job to claim.
    Asked(Result<Due, CallError>),
    /// `None`: there is nothing to settle.
    Ran(Option<(Job, Outcome)>),
    Settled(Job, Outcome, Answer),
}

/// The end of a call that claimed, settled, or both.
pub struct Called {
    pub settled: Vec<(Job, Outcome, Answer)>,
    /// `Ok(None)`: the call was only to settle.
    pub claimed: Result<Option<(Claim, Due)>, CallError>,
    /// The call was to claim.
    pub claims: bool,
}

/// The database's answer to one outcome; an error is that of the whole call.
pub type Answer = Result<Settled, CallError>;

/// Delays between tries of a call after passing errors.
pub const DELAYS: [Duration; 3] = [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(3)];
