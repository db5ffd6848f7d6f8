//! Bodies that are sent part by part and can break: slowly, not at all, or with a reset of the connection.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http_body::Frame;
use tokio::time::{Instant, Sleep, sleep};

use super::{fault::Break, request_id::with_request_id};

/// Set while a reply is sent if its connection must be reset instead of closed.
#[derive(Clone, Default)]
pub struct ResetOnDrop(pub Arc<AtomicBool>);

/// A reply whose body is sent part by part, `pace` apart, and may break off.
pub fn in_parts(
    parts: Vec<Bytes>,
    breaks: Option<&Break>,
    pace: Option<Duration>,
    reset: bool,
) -> Response {
    let end = match breaks {
        Some(Break::Stall | Break::Linger) => End::Never,
        Some(Break::Reset | Break::Cut) => End::Abrupt,
        _ => End::Proper,
    };
    let flag = ResetOnDrop::default();
    let body = Parts {
        parts: parts.into_iter(),
        pace,
        timer: None,
        end,
        reset: reset.then(|| flag.clone()),
    };
    let mut response = with_request_id(200, Body::new(body));
    response.extensions_mut().insert(flag);
    response
}

#[derive(Clone, Copy)]
enum End {
    Proper,
    /// The connection ends before the body.
    Abrupt,
    Never,
}

/// A body that is sent part by part and ends as the request asks.
struct Parts {
    parts: std::vec::IntoIter<Bytes>,
    pace: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
    end: End,
    reset: Option<ResetOnDrop>,
}

impl http_body::Body for Parts {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if let Some(timer) = &mut self.timer {
            ready!(timer.as_mut().poll(cx));
        }
        // The previous part has been written when the next one, or the end, is polled.
        let pause = self
            .pace
            .or_else(|| matches!(self.end, End::Abrupt).then_some(Duration::from_millis(1)));
        self.timer = pause.map(|pause| Box::pin(tokio::time::sleep_until(Instant::now() + pause)));
        if let Some(part) = self.parts.next() {
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
        match self.end {
            End::Proper => Poll::Ready(None),
            End::Never => {
                // Only the end of the connection ends this.
                self.timer = Some(Box::pin(sleep(Duration::from_secs(24 * 3600))));
                Poll::Pending
            }
            End::Abrupt => {
                if let Some(ResetOnDrop(flag)) = &self.reset {
                    flag.store(true, Ordering::Relaxed);
                }
                Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
            }
        }
    }
}
