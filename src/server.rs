//! Accepts connections, applies their timeouts, and shuts down gracefully.

mod timeouts;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use self::timeouts::{Phase, TimedConnection};
use crate::{
    edge::{Peer, until_end},
    metrics,
};

/// The read buffer of a connection, in bytes, and so the largest request head.
const MAX_HEAD: usize = 64 * 1024;

/// How long streams that a shutdown cuts off have to write their last event.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Timeouts and limits of connections.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// From a request's first byte to the end of its head. On a new connection it also covers the wait for the first byte.
    pub header_timeout: Duration,
    /// For a connection without a request, and for a client that does not read.
    pub keep_alive: Duration,
    /// Further connections wait in the kernel's queue.
    pub max_connections: usize,
    /// For requests in flight when a shutdown begins.
    pub drain_timeout: Duration,
}

/// Serves `router` on `listener` until `shutdown`. Requests in flight then have `drain_timeout` to finish; after it `cut`
/// is cancelled, and streams end with an error event. Returns when every connection is closed.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: Settings,
    shutdown: CancellationToken,
    cut: CancellationToken,
) {
    let graceful = GracefulShutdown::new();
    let connections = TaskTracker::new();
    let room = Arc::new(Semaphore::new(
        settings.max_connections.min(Semaphore::MAX_PERMITS),
    ));
    let kill = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &room) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else {
            continue;
        };
        let (io, phase) =
            TimedConnection::new(stream, settings.header_timeout, settings.keep_alive);
        let connection = http1::Builder::new()
            // `TimedConnection` has the timeouts, because hyper's header timer would also end idle connections.
            .header_read_timeout(None)
            .timer(TokioTimer::new())
            .max_buf_size(MAX_HEAD)
            .serve_connection(
                TokioIo::new(io),
                Service {
                    router: router.clone(),
                    peer,
                    phase,
                },
            );
        let connection = graceful.watch(connection);
        let kill = kill.clone();
        connections.spawn(async move {
            let _open = OpenConnection::new();
            tokio::select! {
                // Errors of a connection are not logged, because each request has its own line in the access log.
                _ = connection => {}
                () = kill.cancelled() => {}
            }
            drop(permit);
        });
    }
    drop(listener);
    connections.close();
    if timeout(settings.drain_timeout, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(
            connections = connections.len(),
            "drain_timeout has passed; requests in flight are cut off"
        );
        cut.cancel();
        if timeout(LAST_WORDS, connections.wait()).await.is_err() {
            kill.cancel();
        }
    }
    connections.wait().await;
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> Option<Accepted> {
    // The semaphore is never closed.
    let permit = room.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Stream events must be sent as soon as they are written.
            let _ = stream.set_nodelay(true);
            Some((stream, peer, permit))
        }
        Err(error) => {
            // Most likely there are no file descriptors left. A pause gives running streams time to finish and free some.
            tracing::warn!(%error, "cannot accept a connection");
            sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

/// Counts an open connection until it is dropped, even if its task panics.
struct OpenConnection;

impl OpenConnection {
    fn new() -> Self {
        metrics::connections().increment(1.0);
        Self
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        metrics::connections().decrement(1.0);
    }
}

/// Passes hyper's requests to axum's router.
struct Service {
    router: Router,
    peer: SocketAddr,
    phase: Phase,
}

impl hyper::service::Service<hyper::Request<hyper::body::Incoming>> for Service {
    type Response = axum::response::Response;
    type Error = std::convert::Infallible;
    type Future = futures_util::future::BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn call(&self, request: hyper::Request<hyper::body::Incoming>) -> Self::Future {
        let busy = self.phase.busy();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(self.peer));
        let router = self.router.clone();
        Box::pin(async move {
            let response = router.oneshot(request).await?;
            Ok(until_end(response, busy))
        })
    }
}
