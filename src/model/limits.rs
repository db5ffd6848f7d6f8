/// How much of something may pass: a key, a team, a model, or a key on a model. What is not set is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Limits {
    pub requests_per_minute: Option<u32>,
    /// Requests at once after a pause; a sixth of a minute's without it.
    pub burst: Option<u32>,
    /// Input and output together. The bucket may go into debt, which is repaid before the next call.
    pub tokens_per_minute: Option<u32>,
    /// A request that may need more tokens than this is refused.
    pub max_request_tokens: Option<u32>,
    /// Requests from their admission to their last byte.
    pub in_flight: Option<u32>,
}

impl Limits {
    /// Requests that may come at once.
    pub fn burst(&self) -> u32 {
        self.burst
            .or(self.requests_per_minute.map(|rate| rate / 6))
            .unwrap_or(1)
            .max(1)
    }

    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
