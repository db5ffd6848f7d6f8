//! Flood protection: limits the requests per second of a key, and the failed logins from an address.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{body::Body, response::IntoResponse};
use governor::{
    clock::{Clock, DefaultClock},
    middleware::NoOpMiddleware,
};
use http::Request;
use tower_governor::{
    GovernorError, GovernorLayer,
    governor::{GovernorConfigBuilder, SharedRateLimiter},
    key_extractor::{KeyExtractor, PeerIpKeyExtractor},
};

use crate::{
    call::Caller,
    error::{Error, Kind},
    metrics,
};

/// Extracts the ID of the key that `auth` authenticated.
#[derive(Clone, Copy, Debug)]
pub struct CallerKey;

impl KeyExtractor for CallerKey {
    type Key = String;

    fn extract<B>(&self, request: &Request<B>) -> Result<String, GovernorError> {
        let caller = request.extensions().get::<Arc<Caller>>();
        caller
            .map(|caller| caller.key_id.clone())
            .ok_or(GovernorError::UnableToExtractKey)
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

/// Limits failed logins by address. Only failures count, so that clients with valid keys behind the same address are not
/// locked out.
pub struct FailedLogins(Option<SharedRateLimiter<IpAddr, NoOpMiddleware>>);

/// The number of tracked addresses above which those that are no longer limited are removed.
const MAX_ADDRESSES: usize = 10_000;

impl FailedLogins {
    /// Allows `per_minute` failed logins per minute from each address.
    pub fn new(per_minute: u32) -> Self {
        let mut builder = GovernorConfigBuilder::default().key_extractor(PeerIpKeyExtractor);
        builder
            .period(Duration::from_secs(60) / per_minute.max(1))
            .burst_size(per_minute.max(1));
        Self(builder.finish().map(|config| config.limiter().clone()))
    }

    /// Records a failed login from `address`.
    ///
    /// # Errors
    /// 429 if there were too many.
    pub fn record(&self, address: Option<IpAddr>) -> Result<(), Error> {
        let (Some(limiter), Some(address)) = (&self.0, address) else {
            return Ok(());
        };
        if limiter.len() > MAX_ADDRESSES {
            limiter.retain_recent();
        }
        limiter.check_key(&network(address)).map_err(|not_until| {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            rate_limited("Too many failed logins from this address.", wait)
        })
    }
}

/// Returns the /64 network of an IPv6 address, because a single client usually controls the whole network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address => address,
    }
}

fn rate_limited(message: &'static str, wait: Duration) -> Error {
    Error::new(Kind::RateLimited, message)
        .with_code("rate_limit_exceeded")
        .with_retry_after(wait)
}
