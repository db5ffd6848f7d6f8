//! No room: 503 at once, never a queue. A permit lives until the last byte of its reply.

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

/// Room for so many requests at once, until the gateway must end.
#[derive(Clone)]
pub struct Shed {
    room: Arc<Semaphore>,
    cut: CancellationToken,
}

impl Shed {
    pub fn new(max_in_flight: usize, cut: CancellationToken) -> Self {
        Self {
            room: Arc::new(Semaphore::new(max_in_flight.min(Semaphore::MAX_PERMITS))),
            cut,
        }
    }
}

/// The layer.
pub async fn shed(
    State(shed): State<Shed>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    let Ok(permit) = shed.room.try_acquire_owned() else {
        metrics::shed("concurrency");
        return Err(Error::new(
            Kind::Overloaded,
            "The gateway has as much work as it can do. Try again shortly.",
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

/// What a request is told that the shutdown cuts off.
pub fn shutting_down() -> Error {
    Error::new(Kind::Overloaded, "The gateway is shutting down. Try again.")
        .with_code("shutting_down")
}
