use std::time::Instant;

use metrics::Gauge;
use tower::Service;

use super::Around;
use crate::{
    call::{Call, ChatReply, Ending, Ends, How},
    error::Error,
    metrics::ModelMetrics,
    openai::chat::ChatRequest,
};

/// Counts calls, times and tokens of one model.
#[derive(Clone, Debug)]
pub struct Measure {
    metrics: ModelMetrics,
}

impl Measure {
    /// `model` is a metric label: a configured name, or `unknown`.
    pub fn new(operation: &'static str, model: &str) -> Self {
        Self { metrics: ModelMetrics::new(operation, model) }
    }
}

impl Around<ChatRequest> for Measure {
    async fn around<S>(&self, call: Call<ChatRequest>, mut next: S) -> Result<ChatReply, Error>
    where
        S: Service<Call<ChatRequest>, Response = ChatReply, Error = Error, Future: Send> + Send,
    {
        let began = Instant::now();
        let in_flight = Raised::new(&self.metrics.inflight_requests);
        let metrics = self.metrics.clone();
        match next.call(call).await {
            Ok(reply) => {
                let stream = matches!(reply, ChatReply::Stream(_)).then(|| {
                    metrics.time_to_first_token.record(began.elapsed());
                    Raised::new(&metrics.inflight_streams)
                });
                Ok(reply.on_end(move |ending: &Ending| {
                    metrics.ended(began.elapsed(), error_type(ending), ending.usage);
                    if stream.is_some() {
                        metrics.stream_ended(ending.how.label());
                    }
                    drop(in_flight);
                }))
            }
            Err(error) => {
                metrics.ended(began.elapsed(), error.code().unwrap_or(error.kind().reason()), None);
                Err(error)
            }
        }
    }
}

fn error_type(ending: &Ending) -> &'static str {
    match ending.how {
        How::Complete => "",
        how => how.label(),
    }
}

/// A gauge that is one higher while this lives, however the call ends.
struct Raised(Gauge);

impl Raised {
    fn new(gauge: &Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge.clone())
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
