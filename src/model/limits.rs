/// Rate limits of a key, a team, a model, an end user, or a key on a model. `None` means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Limits {
    pub requests_per_minute: Option<u32>,
    /// The most requests at once after an idle period. If `None`, a sixth of `requests_per_minute`.
    pub burst: Option<u32>,
    /// Input and output together. The bucket can go into debt, which must be refilled before the next call.
    pub tokens_per_minute: Option<u32>,
    /// The most tokens that a request may be expected to need.
    pub max_request_tokens: Option<u32>,
    /// The most requests in flight, from admission to the last byte of the reply.
    pub in_flight: Option<u32>,
}

impl Limits {
    /// The most requests at once; at least 1.
    pub fn burst(&self) -> u32 {
        self.burst
            .or(self.requests_per_minute.map(|rate| rate / 6))
            .unwrap_or(1)
            .max(1)
    }

    /// Reports whether nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
