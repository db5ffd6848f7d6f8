//! The retries that are allowed while requests fail.

use std::time::Duration;

use tower::retry::budget::{Budget, TpsBudget};

/// Retries per second that are allowed regardless of the number of requests. This and the two values below are
/// Linkerd's defaults.
const FLOOR_PER_SECOND: u32 = 10;
/// Retries allowed as a fraction of the requests in the window.
const SHARE: f32 = 0.2;
/// Period over which requests count.
const WINDOW: Duration = Duration::from_secs(10);

/// Limits the retries of one target, so that they do not add load to a service that is already failing.
///
/// The floor is a budget of its own with a window of one second. [`TpsBudget`] would grant the floor of a whole window at
/// once, which is 100 retries in the first second of an outage.
pub struct RetryBudget {
    floor: TpsBudget,
    share: TpsBudget,
}

impl RetryBudget {
    /// Creates a budget in which nothing was requested yet.
    pub fn new() -> Self {
        Self {
            floor: TpsBudget::new(Duration::from_secs(1), FLOOR_PER_SECOND, 0.0),
            share: TpsBudget::new(WINDOW, 0, SHARE),
        }
    }

    /// Records a request, which earns a share of a retry.
    pub fn deposit(&self) {
        self.share.deposit();
    }

    /// Takes one retry. Returns false if none is left.
    pub fn withdraw(&self) -> bool {
        self.share.withdraw() || self.floor.withdraw()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn withdrawn(budget: &RetryBudget) -> usize {
        std::iter::repeat_with(|| budget.withdraw())
            .take_while(|granted| *granted)
            .count()
    }

    /// The floor of ten seconds was granted at once: 40 requests made 80 retries.
    #[tokio::test(start_paused = true)]
    async fn storm_gets_the_share_and_the_floor_of_one_second() {
        let budget = RetryBudget::new();
        (0..40).for_each(|_| budget.deposit());
        assert_eq!(withdrawn(&budget), 8 + 10);
        advance(Duration::from_millis(500)).await;
        assert_eq!(withdrawn(&budget), 0);
        advance(Duration::from_millis(700)).await;
        assert_eq!(withdrawn(&budget), 10);
        (0..10).for_each(|_| budget.deposit());
        assert_eq!(withdrawn(&budget), 2);
    }
}
