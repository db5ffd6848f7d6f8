//! Receives the body of a request, within limits of time and memory.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::{Limits, body::too_large};
use crate::{
    error::{Error, Kind},
    metrics,
};

/// The slowest rate at which a body may arrive. Slower clients are rejected, because each occupies one of the requests in
/// flight.
const MIN_BYTES_PER_SECOND: u64 = 8 * 1024;

/// Bytes of a permit.
const PAGE: usize = 1024;

/// The memory for the bodies of all requests. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Room(Arc<Semaphore>);

/// The memory of a body, until it is dropped. `None` for an empty body.
pub type BodyPermit = Option<OwnedSemaphorePermit>;

/// A body, and the memory that it occupies until the permit is dropped.
#[derive(Debug)]
pub struct BufferedBody {
    pub bytes: Bytes,
    pub permit: BodyPermit,
}

impl Room {
    /// Room for `bytes` bytes.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(
            (bytes / PAGE).clamp(1, Semaphore::MAX_PERMITS),
        )))
    }

    /// Extends `permit` to `bytes` bytes.
    ///
    /// # Errors
    /// 503 if there is no room for them.
    pub fn take(
        &self,
        bytes: usize,
        permit: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<(), Error> {
        let held = permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(missing) = bytes.div_ceil(PAGE).checked_sub(held) else {
            return Ok(());
        };
        let taken = u32::try_from(missing)
            .ok()
            .and_then(|pages| self.0.clone().try_acquire_many_owned(pages).ok());
        match (taken, permit) {
            (None, _) => {
                metrics::shed("memory");
                Err(Error::new(
                    Kind::Overloaded,
                    "The gateway holds too many large requests. Try again shortly.",
                )
                .with_code("overloaded")
                .with_retry_after(Duration::from_secs(1))
                .with_connection_close())
            }
            (Some(taken), Some(permit)) => {
                permit.merge(taken);
                Ok(())
            }
            (taken, permit) => {
                *permit = taken;
                Ok(())
            }
        }
    }
}

/// Reads the body of a request to the data port.
///
/// # Errors
/// Those of [`receive_within`].
pub async fn receive(body: Body, limits: &Limits) -> Result<BufferedBody, Error> {
    receive_within(body, limits.max_body, limits.body_timeout, &limits.room).await
}

/// Reads a body of at most `max` bytes, each part of which must arrive within `limit`.
///
/// # Errors
/// 400 if the body is incomplete, 408 if it arrives too slowly, 413 if it is too large, 503 if there is no room for it.
pub async fn receive_within(
    mut body: Body,
    max: usize,
    limit: Duration,
    room: &Room,
) -> Result<BufferedBody, Error> {
    let mut first: Option<Bytes> = None;
    let mut joined = BytesMut::new();
    let mut permit = None;
    let mut received = 0;
    let mut pace = Pace::new(limit);
    loop {
        let frame = match timeout_at(pace.deadline, body.frame()).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                return Err(Error::new(
                    Kind::InvalidRequest,
                    "The body is incomplete, or its transfer encoding is broken.",
                )
                .with_code("incomplete_body")
                .with_detail(error.to_string())
                .with_connection_close());
            }
            Err(_) => {
                return Err(Error::new(
                    Kind::RequestTimeout,
                    "The request body arrived too slowly.",
                )
                .with_code("request_timeout")
                .with_connection_close());
            }
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        received += data.len();
        if received > max {
            return Err(too_large(max));
        }
        room.take(received, &mut permit)?;
        pace.advance(data.len());
        match &first {
            None => first = Some(data),
            Some(head) => {
                if joined.is_empty() {
                    joined.extend_from_slice(head);
                }
                joined.extend_from_slice(&data);
            }
        }
    }
    let bytes = match joined.is_empty() {
        true => first.unwrap_or_default(),
        false => joined.freeze(),
    };
    Ok(BufferedBody { bytes, permit })
}

/// When more of a body must have arrived. Each period of `limit` must bring its share, so that a client cannot send fast at
/// first to be silent for long later.
struct Pace {
    limit: Duration,
    deadline: Instant,
    /// Bytes that are missing until the next period begins.
    missing: u64,
}

impl Pace {
    fn new(limit: Duration) -> Self {
        Self {
            limit,
            deadline: Instant::now() + limit,
            missing: Self::share(limit),
        }
    }

    fn share(limit: Duration) -> u64 {
        limit.as_secs().max(1) * MIN_BYTES_PER_SECOND
    }

    fn advance(&mut self, bytes: usize) {
        self.missing = self.missing.saturating_sub(bytes as u64);
        if self.missing == 0 {
            *self = Self::new(self.limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt, stream};
    use tokio::time::sleep;

    use super::*;

    fn limits(room: usize) -> Limits {
        Limits {
            max_body: 32 << 20,
            body_timeout: Duration::from_secs(10),
            commit_after: None,
            max_in_flight: 1,
            max_requests_per_second: 1,
            room: Room::new(room),
        }
    }

    /// A body of parts, each with the seconds before it.
    fn body(parts: Vec<(u64, usize)>) -> Body {
        let parts = stream::iter(parts).then(|(seconds, bytes)| async move {
            sleep(Duration::from_secs(seconds)).await;
            Ok::<_, Infallible>(Bytes::from(vec![b' '; bytes]))
        });
        Body::from_stream(parts)
    }

    async fn code(parts: Vec<(u64, usize)>) -> Result<usize, Option<&'static str>> {
        let received = receive(body(parts), &limits(64 << 20)).await;
        received
            .map(|body| body.bytes.len())
            .map_err(|error| error.code())
    }

    /// After 31 MiB a client could be silent for 66 minutes.
    #[tokio::test(start_paused = true)]
    async fn fast_bytes_buy_no_silence() {
        let began = Instant::now();
        let fast_then_silent = vec![(0, 31 << 20), (3600, 1)];
        assert_eq!(code(fast_then_silent).await, Err(Some("request_timeout")));
        assert_eq!(began.elapsed().as_secs(), 10);
        assert_eq!(
            code(vec![(9, 1), (2, 1)]).await,
            Err(Some("request_timeout"))
        );
        // 10 KiB a second, for ten minutes.
        let steady = vec![(1, 10 * 1024); 600];
        assert_eq!(code(steady).await, Ok(600 * 10 * 1024));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_of_all_bodies_is_bounded() {
        let limits = limits(100 * 1024);
        let first = receive(body(vec![(0, 60 * 1024), (1, 10)]), &limits)
            .await
            .unwrap();
        let second = receive(body(vec![(0, 20 * 1024); 3]), &limits).await;
        assert_eq!(second.unwrap_err().code(), Some("overloaded"));
        drop(first);
        assert!(
            receive(body(vec![(0, 20 * 1024); 5]), &limits)
                .await
                .is_ok()
        );
    }
}
