//! The count of one request.

use std::time::Duration;

use tokio::time::Instant;

use super::{Subject, breaker::Evidence, health::Permit};
use crate::metrics;

/// Counts a request when dropped, however it ends. `abandoned` means that the deadline passed or
/// the client disconnected.
pub struct AttemptGuard<'a> {
    pub subject: Subject<'a>,
    pub retried: bool,
    pub code: &'static str,
    pub began: Instant,
    /// Taken if the request ended.
    pub permit: Option<Permit>,
}

impl Drop for AttemptGuard<'_> {
    fn drop(&mut self) {
        let Subject {
            target,
            label,
            trace,
            ..
        } = self.subject;
        metrics::upstream_request(&target.region, label, self.code, self.retried);
        if let Some(permit) = self.permit.take() {
            let limit = self.subject.limit.filter(|_| !trace.is_client_gone());
            let is_silent = limit.is_some_and(|limit| self.began.elapsed() >= limit);
            permit.end(is_silent.then_some(Evidence::Silent), Duration::ZERO);
        }
    }
}
