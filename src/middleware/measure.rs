use std::time::Instant;

use tower::Service;

use super::Around;
use crate::{
    call::{Call, ChatReply, Ending, Ends, How, Usage},
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
        let mut running = Running::new(self.metrics.clone());
        match next.call(call).await {
            Ok(reply) => {
                if matches!(reply, ChatReply::Stream(_)) {
                    running.is_stream();
                }
                Ok(reply.on_end(move |ending: &Ending| running.end(error_type(ending), ending)))
            }
            Err(error) => {
                running.error_type = error.code().unwrap_or(error.kind().reason());
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

/// A call on its way; counted once, however it ends.
struct Running {
    metrics: ModelMetrics,
    began: Instant,
    stream: bool,
    error_type: &'static str,
    usage: Option<Usage>,
}

impl Running {
    fn new(metrics: ModelMetrics) -> Self {
        metrics.inflight_requests.increment(1.0);
        // Until something else is known: the client left before there was a reply.
        Self { metrics, began: Instant::now(), stream: false, error_type: How::ClientGone.label(), usage: None }
    }

    fn is_stream(&mut self) {
        self.stream = true;
        self.metrics.time_to_first_token.record(self.began.elapsed());
        self.metrics.inflight_streams.increment(1.0);
    }

    fn end(mut self, error_type: &'static str, ending: &Ending) {
        self.error_type = error_type;
        self.usage = ending.usage;
        if self.stream {
            self.metrics.stream_ended(ending.how.label());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.metrics.ended(self.began.elapsed(), self.error_type, self.usage);
        self.metrics.inflight_requests.decrement(1.0);
        if self.stream {
            self.metrics.inflight_streams.decrement(1.0);
        }
    }
}
