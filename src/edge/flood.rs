//! Floods: too many requests of one credential, and too many failed logins from one address.

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

/// The credential that `auth` has found.
#[derive(Clone, Copy, Debug)]
pub struct Credential;

impl KeyExtractor for Credential {
    type Key = String;

    fn extract<B>(&self, request: &Request<B>) -> Result<String, GovernorError> {
        let caller = request.extensions().get::<Arc<Caller>>();
        caller
            .map(|caller| caller.key_id.clone())
            .ok_or(GovernorError::UnableToExtractKey)
    }
}

/// The layer behind `auth`: `per_second` requests of each credential, and twice as many at once.
pub fn layer(per_second: u32) -> Option<GovernorLayer<Credential, NoOpMiddleware, Body>> {
    let mut builder = GovernorConfigBuilder::default().key_extractor(Credential);
    builder
        .period(Duration::from_secs(1) / per_second.max(1))
        .burst_size(per_second.saturating_mul(2).max(1));
    let layer =
        GovernorLayer::new(Arc::new(builder.finish()?)).error_handler(|error| match error {
            GovernorError::TooManyRequests { wait_time, .. } => {
                metrics::shed("flood");
                // Whole seconds, rounded down.
                too_many(
                    "This key sends more requests than this gateway takes of one key.",
                    Duration::from_secs(wait_time + 1),
                )
                .into_response()
            }
            _ => Error::new(Kind::Internal, "The gateway lost track of who is calling.")
                .into_response(),
        });
    Some(layer)
}

/// Failed logins by address. Only failures count, so that a good client behind the same address is not locked out.
pub struct FailedLogins(Option<SharedRateLimiter<IpAddr, NoOpMiddleware>>);

/// Beyond so many addresses those that have waited long enough are forgotten.
const MANY: usize = 10_000;

impl FailedLogins {
    pub fn new(per_minute: u32) -> Self {
        let mut builder = GovernorConfigBuilder::default().key_extractor(PeerIpKeyExtractor);
        builder
            .period(Duration::from_secs(60) / per_minute.max(1))
            .burst_size(per_minute.max(1));
        Self(builder.finish().map(|config| config.limiter().clone()))
    }

    /// One more from `address`.
    ///
    /// # Errors
    /// A 429 where there were too many.
    pub fn count(&self, address: Option<IpAddr>) -> Result<(), Error> {
        let (Some(limiter), Some(address)) = (&self.0, address) else {
            return Ok(());
        };
        if limiter.len() > MANY {
            limiter.retain_recent();
        }
        limiter.check_key(&network(address)).map_err(|not_until| {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            too_many("Too many failed logins from this address.", wait)
        })
    }
}

/// Whoever has an IPv6 address has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address => address,
    }
}

fn too_many(message: &'static str, wait: Duration) -> Error {
    Error::new(Kind::RateLimited, message)
        .with_code("rate_limit_exceeded")
        .with_retry_after(wait)
}
