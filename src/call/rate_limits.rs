use std::time::Duration;

/// The state of the tightest rate limit of each kind, for the `x-ratelimit-*` headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    pub requests: Option<Remaining>,
    pub tokens: Option<Remaining>,
}

/// The state of one rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    pub limit: u64,
    pub remaining: u64,
    /// The time until the limit is fully available again.
    pub reset: Duration,
}

impl RateLimits {
    /// Takes a limit on requests into account.
    pub fn add_requests(&mut self, limit: Remaining) {
        self.requests = tightest(self.requests, limit);
    }

    /// Takes a limit on tokens into account.
    pub fn add_tokens(&mut self, limit: Remaining) {
        self.tokens = tightest(self.tokens, limit);
    }
}

/// Returns the limit of which the smaller fraction is left.
fn tightest(current: Option<Remaining>, other: Remaining) -> Option<Remaining> {
    let millionths =
        |r: &Remaining| u128::from(r.remaining) * 1_000_000 / u128::from(r.limit.max(1));
    current
        .filter(|current| millionths(current) <= millionths(&other))
        .or(Some(other))
}
