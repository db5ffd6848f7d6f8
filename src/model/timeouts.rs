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
}

impl Default for Timeouts {
    fn default() -> Self {
        let [connect, whole, first_token, idle] = [5, 300, 60, 60].map(Duration::from_secs);
        Self {
            connect,
            whole,
            first_token,
            idle,
        }
    }
}
