//! Metrics of calls, by model.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Label, counter, gauge, histogram};

use super::{
    INFLIGHT_REQUESTS, INFLIGHT_STREAMS, REQUEST_DURATION, STREAM_END, TIME_PER_OUTPUT_TOKEN,
    TIME_TO_FIRST_TOKEN, TOKEN_USAGE, TOKENS, labels::key_label,
};
use crate::money::Usage;

const PROVIDER: &str = "aws.bedrock";

/// The token types of [`Usage`], as label values.
const TOKEN_TYPES: [&str; 6] = [
    "input",
    "output",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "reasoning",
];

/// Returns the counts in the order of [`TOKEN_TYPES`].
fn counts_by_type(usage: &Usage) -> [u64; TOKEN_TYPES.len()] {
    let Usage {
        input,
        output,
        cache_read,
        cache_write_1h,
        reasoning,
        ..
    } = *usage;
    [
        input,
        output,
        cache_read,
        usage.cache_write_5m(),
        cache_write_1h,
        reasoning,
    ]
}

/// The metrics of one model. It keeps their handles, because a lookup by labels costs twenty times as much.
#[derive(Clone, Debug)]
pub struct ModelMetrics {
    model: String,
    operation: &'static str,
    pub inflight_requests: Gauge,
    pub inflight_streams: Gauge,
    pub time_to_first_token: Histogram,
    pub time_per_output_token: Histogram,
    duration_ok: Histogram,
    streams_complete: Counter,
    tokens: [Histogram; TOKEN_TYPES.len()],
}

impl ModelMetrics {
    /// Registers the metrics of `model`, which is a configured name or `unknown`.
    pub fn new(operation: &'static str, model: &str) -> Self {
        let tokens = |kind: &'static str| histogram!(TOKEN_USAGE, "operation" => operation, "provider" => PROVIDER, "request_model" => model.to_owned(), "token_type" => kind);
        let model = model.to_owned();
        Self {
            operation,
            inflight_requests: gauge!(INFLIGHT_REQUESTS, "model" => model.clone()),
            inflight_streams: gauge!(INFLIGHT_STREAMS, "model" => model.clone()),
            time_to_first_token: histogram!(TIME_TO_FIRST_TOKEN, "request_model" => model.clone()),
            time_per_output_token: histogram!(TIME_PER_OUTPUT_TOKEN, "request_model" => model.clone()),
            duration_ok: histogram!(REQUEST_DURATION, "operation" => operation, "request_model" => model.clone(), "error_type" => ""),
            streams_complete: counter!(STREAM_END, "model" => model.clone(), "how" => "complete"),
            tokens: TOKEN_TYPES.map(tokens),
            model,
        }
    }

    /// Records the end of a call. `error_type` is empty if it succeeded.
    pub fn ended(
        &self,
        team: &str,
        key_id: &str,
        duration: Duration,
        error_type: &'static str,
        usage: Option<Usage>,
    ) {
        if error_type.is_empty() {
            self.duration_ok.record(duration);
        } else {
            let model = self.model.clone();
            histogram!(REQUEST_DURATION, "operation" => self.operation, "request_model" => model, "error_type" => error_type)
                .record(duration);
        }
        let Some(usage) = usage else { return };
        let labels = |kind: &'static str, value: &'static str| {
            [
                Label::new("team", team.to_owned()),
                Label::new("key_id", key_label(key_id)),
                Label::new("model", self.model.clone()),
                Label::from_static_parts(kind, value),
            ]
        };
        for ((histogram, kind), count) in self
            .tokens
            .iter()
            .zip(TOKEN_TYPES)
            .zip(counts_by_type(&usage))
        {
            if count > 0 {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "token counts stay far below 2^53"
                )]
                histogram.record(count as f64);
                counter!(TOKENS, labels("token_type", kind).iter()).increment(count);
            }
        }
    }

    /// Counts the end of a stream. `how` comes from a fixed list.
    pub fn stream_ended(&self, how: &'static str) {
        if how == "complete" {
            self.streams_complete.increment(1);
        } else {
            counter!(STREAM_END, "model" => self.model.clone(), "how" => how).increment(1);
        }
    }
}
