//! Limits the requests per second of a key.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, response::IntoResponse};
use governor::middleware::NoOpMiddleware;
use http::Request;
use tower_governor::{
    GovernorError, GovernorLayer, governor::GovernorConfigBuilder, key_extractor::KeyExtractor,
};

use super::{access_log::Entry, network::network, sigv4::Signature};
use crate::{
    call::Caller,
    error::{Error, Kind},
    metrics,
};

/// Extracts the ID of the key that `auth` authenticated. A request of an AWS SDK is not authenticated before its body has
/// arrived, so it counts for its key and its address: others cannot exhaust the limit of a key whose ID they know.
#[derive(Clone, Copy, Debug)]
pub struct CallerKey;

impl KeyExtractor for CallerKey {
    type Key = String;

    fn extract<B>(&self, request: &Request<B>) -> Result<String, GovernorError> {
        let extensions = request.extensions();
        if let Some(caller) = extensions.get::<Arc<Caller>>() {
            return Ok(caller.key_id.clone());
        }
        let signature = extensions.get::<Arc<Signature>>();
        let entry = extensions.get::<Entry>();
        let (Some(signature), Some(entry)) = (signature, entry) else {
            return Err(GovernorError::UnableToExtractKey);
        };
        let network = entry.address().map(network);
        Ok(format!("{:?} {network:?}", signature.key_id))
    }
}

/// Returns the layer that allows each key `per_second` requests per second, with bursts of twice as many. It must run
/// after `auth`.
pub fn layer(per_second: u32) -> Option<GovernorLayer<CallerKey, NoOpMiddleware, Body>> {
    let mut builder = GovernorConfigBuilder::default().key_extractor(CallerKey);
    builder
        .period(Duration::from_secs(1) / per_second.max(1))
        .burst_size(per_second.saturating_mul(2).max(1));
    let layer =
        GovernorLayer::new(Arc::new(builder.finish()?)).error_handler(|error| match error {
            GovernorError::TooManyRequests { wait_time, .. } => {
                metrics::shed("flood");
                // `wait_time` is in whole seconds, rounded down.
                rate_limited(
                    "This key exceeds the limit on requests per second.",
                    Duration::from_secs(wait_time + 1),
                )
                .into_response()
            }
            _ => Error::new(Kind::Internal, "The gateway could not identify the caller.")
                .into_response(),
        });
    Some(layer)
}

/// Creates the error for a client that must wait.
pub fn rate_limited(message: &'static str, wait: Duration) -> Error {
    Error::new(Kind::RateLimited, message)
        .with_code("rate_limit_exceeded")
        .with_retry_after(wait)
}
