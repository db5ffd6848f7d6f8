//! Accepts connections, applies their limits, and shuts down gracefully.

mod chunks;
mod connection;
pub mod framing;
pub mod head;
mod phase;
mod probe;
mod registry;

use std::{net::SocketAddr, time::Duration};

use axum::{Router, body::Body, response::Response};
use http::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use self::{
    connection::Connection, head::MAX_HEAD, phase::Phase, probe::ProbedEvents, registry::Registry,
};
pub use self::{connection::Timeouts, registry::Capacity};
use crate::edge::{KnownCaller, Peer, until_end};

/// How long streams that a shutdown cuts off have to write their last event.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Limits of a port.
#[derive(Clone, Debug)]
pub struct Settings {
    pub timeouts: Timeouts,
    pub capacity: Capacity,
    /// For requests in flight when a shutdown begins.
    pub drain_timeout: Duration,
    /// Its connections are counted in the metric.
    pub is_counted: bool,
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
    let registry = Registry::new(settings.capacity, settings.is_counted);
    let kill = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = accept(&listener) => accepted,
        };
        let Some((stream, peer)) = accepted else {
            continue;
        };
        let Some(admitted) = registry.admit(peer.ip(), false) else {
            continue;
        };
        let serving = serve_connection(
            stream,
            Service {
                router: router.clone(),
                peer,
                phase: admitted.phase.clone(),
            },
            settings.timeouts,
            graceful.watcher(),
        );
        let kill = kill.clone();
        connections.spawn(async move {
            tokio::select! {
                () = serving => {}
                () = admitted.evicted.cancelled() => {}
                () = kill.cancelled() => {}
            }
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

async fn accept(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Stream events must be sent as soon as they are written.
            let _ = stream.set_nodelay(true);
            Some((stream, peer))
        }
        Err(error) => {
            // Most likely there are no file descriptors left. A pause gives running streams time to finish and free some.
            tracing::warn!(%error, "cannot accept a connection");
            sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn serve_connection(
    stream: TcpStream,
    service: Service,
    timeouts: Timeouts,
    watcher: Watcher,
) {
    let stream = Connection::new(stream, &[], timeouts, service.phase.clone());
    let connection = http1::Builder::new()
        // `Connection` has the timeouts.
        .header_read_timeout(None)
        .timer(TokioTimer::new())
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    // Errors of a connection are not logged, because each request has its own line in the access log.
    let _ = watcher.watch(connection).await;
}

/// Passes hyper's requests to axum's router.
struct Service {
    router: Router,
    peer: SocketAddr,
    phase: Phase,
}

impl hyper::service::Service<hyper::Request<hyper::body::Incoming>> for Service {
    type Response = Response;
    type Error = std::convert::Infallible;
    type Future = futures_util::future::BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn call(&self, request: hyper::Request<hyper::body::Incoming>) -> Self::Future {
        let phase = self.phase.clone();
        let busy = phase.busy();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(self.peer));
        if let Some(bad) = phase.take_rejection() {
            request.extensions_mut().insert(bad);
        }
        let router = self.router.clone();
        Box::pin(async move {
            let mut response = router.oneshot(request).await?;
            if response.extensions().get::<KnownCaller>().is_some() {
                phase.set_known();
            }
            let is_events = response
                .headers()
                .get(CONTENT_TYPE)
                .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
            if is_events {
                response = response.map(|events| Body::new(ProbedEvents::new(events, phase)));
            }
            Ok(until_end(response, busy))
        })
    }
}
