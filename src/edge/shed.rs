//! Load shedding: at capacity, requests are rejected immediately with 503 and never queued. A request holds its permit
//! until the last byte of its response.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::body_guard::until_end;
use crate::{
    error::{Error, Kind},
    metrics,
};

/// Limits the number of requests in flight, and cuts requests off at the end of a shutdown.
#[derive(Clone)]
pub struct Shed {
    room: Arc<Semaphore>,
    cut: CancellationToken,
}

impl Shed {
    /// Allows `max_in_flight` requests at a time, until `cut` is cancelled.
    pub fn new(max_in_flight: usize, cut: CancellationToken) -> Self {
        Self {
            room: Arc::new(Semaphore::new(max_in_flight.min(Semaphore::MAX_PERMITS))),
            cut,
        }
    }
}

/// Middleware that admits a request if a permit is free.
///
/// # Errors
/// 503 if the gateway is at capacity, or if the request was cut off by a shutdown.
pub async fn shed(
    State(shed): State<Shed>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    let Ok(permit) = shed.room.try_acquire_owned() else {
        metrics::shed("concurrency");
        return Err(Error::new(
            Kind::Overloaded,
            "The gateway is at capacity. Try again shortly.",
        )
        .with_code("overloaded")
        .with_retry_after(Duration::from_secs(1)));
    };
    let response = tokio::select! {
        biased;
        response = next.run(request) => response,
        () = shed.cut.cancelled() => {
            metrics::shed("draining");
            return Err(shutting_down());
        }
    };
    Ok(until_end(response, permit))
}

/// Creates the error for requests that are cut off by a shutdown.
pub fn shutting_down() -> Error {
    Error::new(Kind::Overloaded, "The gateway is shutting down. Try again.")
        .with_code("shutting_down")
}
