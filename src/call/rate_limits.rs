use std::time::Duration;

/// What is left of the tightest rate limit of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    pub requests: Option<Remaining>,
    pub tokens: Option<Remaining>,
}

/// What is left of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    pub limit: u64,
    pub remaining: u64,
    /// Until the limit is fully available again.
    pub reset: Duration,
}

impl RateLimits {
    pub fn add_requests(&mut self, one: Remaining) {
        self.requests = tightest(self.requests, one);
    }

    pub fn add_tokens(&mut self, one: Remaining) {
        self.tokens = tightest(self.tokens, one);
    }
}

/// The one with the smaller part left.
fn tightest(before: Option<Remaining>, one: Remaining) -> Option<Remaining> {
    let part = |r: &Remaining| u128::from(r.remaining) * 1_000_000 / u128::from(r.limit.max(1));
    before
        .filter(|before| part(before) <= part(&one))
        .or(Some(one))
}
