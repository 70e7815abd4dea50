//! Token buckets, like Replicate's own limiter.

use jiff::Timestamp;

/// Allows `per_second` requests a second on average, `burst` at once.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub per_second: f64,
    pub burst: f64,
}

impl Rate {
    /// 600 creates a minute (replicate.com/docs, rate limits).
    pub const CREATES: Rate = Rate { per_second: 10.0, burst: 600.0 };
    /// 3000 other requests a minute.
    pub const OTHERS: Rate = Rate { per_second: 50.0, burst: 3000.0 };
    /// Creates with less than $5 of credit: 6 a minute, one at a time.
    pub const LOW_CREDIT: Rate = Rate { per_second: 0.1, burst: 1.0 };
    pub const UNLIMITED: Rate = Rate { per_second: f64::INFINITY, burst: f64::INFINITY };
}

pub struct Bucket {
    rate: Rate,
    tokens: f64,
    filled_at: Timestamp,
}

impl Bucket {
    pub fn full(rate: Rate, now: Timestamp) -> Bucket {
        Bucket { rate, tokens: rate.burst, filled_at: now }
    }

    /// Takes a token, or returns the whole seconds (at least one) until there is one.
    pub fn take(&mut self, now: Timestamp) -> Result<(), u64> {
        if self.rate.burst.is_infinite() {
            return Ok(());
        }
        let seconds = now.duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + seconds * self.rate.per_second).min(self.rate.burst);
        self.filled_at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(((1.0 - self.tokens) / self.rate.per_second).ceil().max(1.0) as u64)
    }
}
