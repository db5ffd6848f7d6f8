//! Connections: accepting, their time limits, and the graceful end.

mod paced;

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

use self::paced::{Paced, Phase};
use crate::{
    edge::{Peer, until_end},
    metrics,
};

/// Read buffer of a connection, and so the most that a request's head can be.
const MAX_HEAD: usize = 64 * 1024;

/// What cut-off streams get to write their last event.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How connections are treated.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// From a request's first byte to the end of its head; on a new connection also to the first byte.
    pub header_timeout: Duration,
    /// Without a request, and for a client that does not read.
    pub keep_alive: Duration,
    /// Beyond it, new connections wait in the kernel's queue.
    pub max_connections: usize,
    /// For requests that run when the shutdown begins.
    pub drain_timeout: Duration,
}

/// Serves `router` on `listener` until `shutdown`; then lets running requests end, for `drain_timeout`; then sets `cut`,
/// on which streams write an error event; and returns when every connection is closed.
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
        let (io, phase) = Paced::new(stream, settings.header_timeout, settings.keep_alive);
        let connection = http1::Builder::new()
            // Time limits are `Paced`'s: hyper's header timer would also end idle connections.
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
            let _open = Open::new();
            tokio::select! {
                // What ends a connection is the client's affair; requests have their own lines in the log.
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
            "drain_timeout has passed; running requests are cut off"
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
            // Events must leave as they are written.
            let _ = stream.set_nodelay(true);
            Some((stream, peer, permit))
        }
        Err(error) => {
            // Out of file descriptors, most likely: running streams go on, and a pause lets some end.
            tracing::warn!(%error, "a connection could not be accepted");
            sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

/// Counts a connection while it lives, also if its task panics.
struct Open;

impl Open {
    fn new() -> Self {
        metrics::connections().increment(1.0);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::connections().decrement(1.0);
    }
}

/// hyper's request to axum's router.
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
