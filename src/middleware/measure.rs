use std::{sync::Arc, time::Instant};

use tower::Service;

mod outcomes;

pub use outcomes::{ModelOutcomes, Outcomes, RecentCalls};

use super::{Middleware, Reply};
use crate::{
    call::{Call, Caller},
    error::Error,
    metrics::ModelMetrics,
    money::Usage,
    operation::{CallEnd, EndReason, Operation, Reply as _},
};

/// Records the metrics and the outcomes of the calls of one model: their number, durations and tokens, and how they ended.
#[derive(Clone, Debug)]
pub struct Measure {
    metrics: ModelMetrics,
    outcomes: ModelOutcomes,
}

impl Measure {
    /// `model` is a metric label: a configured name, or `unknown`.
    pub fn new(operation: &'static str, model: &str, outcomes: ModelOutcomes) -> Self {
        Self {
            metrics: ModelMetrics::new(operation, model),
            outcomes,
        }
    }
}

impl<T: Operation, P: Send + 'static> Middleware<T, P> for Measure {
    async fn handle<S>(&self, call: Call<T, P>, mut next: S) -> Result<Reply<T>, Error>
    where
        S: Service<Call<T, P>, Response = Reply<T>, Error = Error, Future: Send> + Send,
    {
        let mut guard = CallGuard::new(self, call.caller.clone());
        match next.call(call).await {
            Ok(served) => {
                if served.reply.is_stream() {
                    guard.begin_stream();
                }
                Ok(served.on_end(move |end| guard.end(end)))
            }
            Err(error) => {
                guard.error_type = error.label();
                self.outcomes.failed_with(&error);
                Err(error)
            }
        }
    }
}

/// A call in flight. Records it exactly once, however it ends.
struct CallGuard {
    metrics: ModelMetrics,
    outcomes: ModelOutcomes,
    caller: Arc<Caller>,
    began: Instant,
    /// When the first token of a stream arrived.
    first_token: Option<Instant>,
    error_type: &'static str,
    usage: Option<Usage>,
}

impl CallGuard {
    fn new(measure: &Measure, caller: Arc<Caller>) -> Self {
        let Measure { metrics, outcomes } = measure.clone();
        metrics.inflight_requests.increment(1.0);
        // Applies if the client disconnects before there is a reply, which drops the guard.
        let error_type = EndReason::ClientGone.label();
        let began = Instant::now();
        Self {
            metrics,
            outcomes,
            caller,
            began,
            first_token: None,
            error_type,
            usage: None,
        }
    }

    fn begin_stream(&mut self) {
        self.first_token = Some(Instant::now());
        self.metrics
            .time_to_first_token
            .record(self.began.elapsed());
        self.metrics.inflight_streams.increment(1.0);
    }

    fn end(mut self, end: &CallEnd) {
        self.error_type = match end.reason {
            EndReason::Complete => "",
            reason => reason.label(),
        };
        match end.reason {
            EndReason::Complete | EndReason::Drained => self.outcomes.succeeded(),
            EndReason::Failed(code) => self.outcomes.failed(code),
            EndReason::ClientGone => {}
        }
        self.usage = end.usage;
        let Some(first) = self.first_token else {
            return;
        };
        self.metrics.stream_ended(end.reason.label());
        let tokens = end.usage.map_or(0, |usage| usage.output);
        let later = tokens.checked_sub(1).filter(|later| *later > 0);
        if let (EndReason::Complete, Some(later)) = (end.reason, later) {
            let later = u32::try_from(later).unwrap_or(u32::MAX);
            self.metrics
                .time_per_output_token
                .record(first.elapsed() / later);
        }
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.metrics.ended(
            self.caller.team_name(),
            &self.caller.key_id,
            self.began.elapsed(),
            self.error_type,
            self.usage,
        );
        self.metrics.inflight_requests.decrement(1.0);
        if self.first_token.is_some() {
            self.metrics.inflight_streams.decrement(1.0);
        }
    }
}

#[cfg(test)]
mod tests;
