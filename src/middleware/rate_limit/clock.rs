use std::time::Instant;

use governor::clock::Clock;

/// Tokio's clock, because tests can stop and advance it.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioClock;

impl Clock for TokioClock {
    type Instant = Instant;

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}
