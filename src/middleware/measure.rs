use std::{sync::Arc, time::Instant};

use tower::Service;

use super::Around;
use crate::{
    call::{Call, Caller, ChatReply, Ending, Ends, How, Usage},
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
        Self {
            metrics: ModelMetrics::new(operation, model),
        }
    }
}

impl Around<ChatRequest> for Measure {
    async fn around<S>(&self, call: Call<ChatRequest>, mut next: S) -> Result<ChatReply, Error>
    where
        S: Service<Call<ChatRequest>, Response = ChatReply, Error = Error, Future: Send> + Send,
    {
        let mut running = Running::new(self.metrics.clone(), call.caller.clone());
        match next.call(call).await {
            Ok(reply) => {
                if matches!(reply, ChatReply::Stream(_)) {
                    running.is_stream();
                }
                Ok(reply.on_end(move |ending: &Ending| running.end(error_type(ending), ending)))
            }
            Err(error) => {
                running.error_type = error.label();
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
    caller: Arc<Caller>,
    began: Instant,
    /// Of a stream.
    first_token: Option<Instant>,
    error_type: &'static str,
    usage: Option<Usage>,
}

impl Running {
    fn new(metrics: ModelMetrics, caller: Arc<Caller>) -> Self {
        metrics.inflight_requests.increment(1.0);
        // Until something else is known: the client left before there was a reply.
        let error_type = How::ClientGone.label();
        Self {
            metrics,
            caller,
            began: Instant::now(),
            first_token: None,
            error_type,
            usage: None,
        }
    }

    fn is_stream(&mut self) {
        self.first_token = Some(Instant::now());
        self.metrics
            .time_to_first_token
            .record(self.began.elapsed());
        self.metrics.inflight_streams.increment(1.0);
    }

    fn end(mut self, error_type: &'static str, ending: &Ending) {
        self.error_type = error_type;
        self.usage = ending.usage;
        let Some(first) = self.first_token else {
            return;
        };
        self.metrics.stream_ended(ending.how.label());
        let tokens = ending.usage.map_or(0, |usage| usage.output);
        if let (How::Complete, Some(later)) =
            (ending.how, tokens.checked_sub(1).filter(|later| *later > 0))
        {
            let later = u32::try_from(later).unwrap_or(u32::MAX);
            self.metrics
                .time_per_output_token
                .record(first.elapsed() / later);
        }
    }
}

impl Drop for Running {
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
