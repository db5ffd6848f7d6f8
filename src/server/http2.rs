//! HTTP/2. hyper implements it; the limits here bound what one connection may hold, and [`calm`] what it may cost.

mod calm;

use std::{future::Future, io, pin::pin, time::Duration};

use hyper::{rt::Executor, server::conn::http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::calm::Calm;
use super::{Timeouts, failed, service::Service};

/// Requests in flight at a time on one connection.
const MAX_STREAMS: u32 = 100;
/// Bytes of the names and values of all headers of a request.
const MAX_HEADERS: u32 = 16 * 1024;
/// Bytes that a client may send before the gateway has read them.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of one response that wait for the client to read.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that a client may open and reset before they are looked at. More of them close the connection (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 20;
/// Streams that the gateway may reset because of a client's errors.
const MAX_LOCAL_RESETS: usize = 128;
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Time to write why a connection ends.
const LAST_FRAME: Duration = Duration::from_secs(1);

/// What a client of HTTP/2 sends first (RFC 9113, section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves a connection until it ends, is idle for too long, or until the requests in flight have ended after `closing`.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    service: Service,
    timeouts: Timeouts,
    closing: CancellationToken,
) {
    let peer = service.peer;
    let served = serve_calm(&mut stream, service, timeouts, closing).await;
    if served.is_err_and(|error| calm::is_flood(&error)) {
        failed("http2_flood", &io::ErrorKind::QuotaExceeded.into(), peer);
        // Why the connection ends, for a client that reads it.
        let _ = timeout(LAST_FRAME, stream.write_all(calm::GO_AWAY)).await;
        let _ = timeout(LAST_FRAME, stream.shutdown()).await;
    }
}

async fn serve_calm<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    service: Service,
    timeouts: Timeouts,
    closing: CancellationToken,
) -> hyper::Result<()> {
    let (phase, tasks) = (service.phase.clone(), service.tasks.clone());
    let idle = || {
        phase.idle_for(|was_used| match was_used {
            true => timeouts.keep_alive,
            false => timeouts.header,
        })
    };
    let mut connection = pin!(
        http2::Builder::new(Tracked(tasks))
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEADERS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .max_local_error_reset_streams(MAX_LOCAL_RESETS)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .serve_connection(TokioIo::new(Calm::new(stream)), service)
    );
    tokio::select! {
        served = connection.as_mut() => return served,
        () = idle() => {}
        () = closing.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    // A client that does not react is not waited for.
    tokio::select! {
        served = connection => served,
        () = phase.idle_for(|_| timeouts.header) => Ok(()),
    }
}

/// Runs requests as tasks that a shutdown waits for.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl<F> Executor<F> for Tracked
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}
