//! The only clock: wall-clock times counted on tokio's timer.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Reads the wall clock once and continues with tokio's, so that the two never disagree.
pub struct Clock {
    started: Timestamp,
    instant: Instant,
}

impl Clock {
    pub fn start() -> Clock {
        Clock { started: Timestamp::now(), instant: Instant::now() }
    }

    /// The current time in whole microseconds: Replicate's times have six decimals.
    pub fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.instant.elapsed()).unwrap_or(SignedDuration::MAX);
        let now = self.started.saturating_add(elapsed).unwrap_or(Timestamp::MAX);
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    /// Returns at once if `time` has passed.
    pub async fn sleep_until(&self, time: Timestamp) {
        let wait = time.duration_since(self.now());
        tokio::time::sleep(wait.try_into().unwrap_or_default()).await;
    }
}
