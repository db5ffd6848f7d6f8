use std::time::Duration;

/// The time limits of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For DNS, TCP and TLS together.
    pub connect: Duration,
    /// From the start to the last byte of a whole reply.
    pub whole: Duration,
    /// From the start to the first token of a stream.
    pub first_token: Duration,
    /// Between two events of a stream.
    pub idle: Duration,
    /// The request's own limit, which may shorten each of the others.
    pub request: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        let [connect, whole, first_token, idle] = [5, 300, 60, 60].map(Duration::from_secs);
        Self {
            connect,
            whole,
            first_token,
            idle,
            request: None,
        }
    }
}

impl Timeouts {
    /// Returns the time limits of a request that sets `own`.
    #[must_use]
    pub fn within(self, own: Duration) -> Self {
        Self {
            connect: self.connect.min(own),
            idle: self.idle.min(own),
            request: Some(own),
            ..self
        }
    }
}
