//! The count of one request.

use std::time::Duration;

use tokio::time::Instant;

use super::{Subject, breaker::Evidence, health::Permit};
use crate::metrics;

/// Counts and logs a request when dropped, however it ends. `abandoned` means that the deadline passed or
/// the client disconnected.
pub struct AttemptGuard<'a> {
    pub subject: Subject<'a>,
    /// The number of the attempt, from 1.
    pub number: u32,
    /// `ok` or the code of the failure.
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
        metrics::upstream_request(&target.region, label, self.code, self.number > 1);
        let took = self.began.elapsed();
        tracing::debug!(
            request_id = trace.request_id(),
            model = label,
            target_model = target.id,
            region = target.region,
            attempt = self.number,
            code = self.code,
            duration_ms = took.as_secs_f64() * 1000.0,
            "a request to AWS has ended, or its stream has begun"
        );
        if let Some(permit) = self.permit.take() {
            let limit = self.subject.limit.filter(|_| !trace.is_client_gone());
            let is_silent = limit.is_some_and(|limit| took >= limit);
            permit.end(is_silent.then_some(Evidence::Silent), Duration::ZERO);
        }
    }
}
