//! Accepts connections, applies their limits, and shuts down gracefully.

pub mod http1;
mod http2;
pub mod opening;
mod phase;
mod proxies;
mod registry;
mod service;
mod stalled;
pub mod tls;
mod write_timeout;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use bytes::BytesMut;
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, join},
    net::{TcpListener, TcpSocket, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{
    proxies::Proxies,
    registry::Capacity,
    tls::{Tls, TlsSettings},
};
use self::{
    registry::{Admitted, Registry},
    service::Service,
    write_timeout::WriteTimeout,
};
use crate::metrics;

/// Connections that wait to be accepted; the kernel may lower it to `net.core.somaxconn`. If they are more, it drops their first
/// packets, and clients try again only after a second, then after three. So a crowd must fit that comes within that second.
const BACKLOG: u32 = 4096;
/// How many bytes the kernel takes for a client that does not read them. Without a limit it takes whole answers, and the work of
/// reading and writing them falls into one moment for all such clients.
#[cfg(target_os = "linux")]
const MAX_UNSENT: u32 = 16 * 1024;
/// How long streams that a shutdown cuts off have to write their last event.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The same if the process must end at once.
const LAST_WORDS_AT_ONCE: Duration = Duration::from_millis(500);

/// The time limits of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From the first byte of a head to its end. On a new connection it also covers the handshake and the wait for the first
    /// byte.
    pub header: Duration,
    /// For a connection without a request, and for a client that does not read.
    pub keep_alive: Duration,
}

/// How a port serves its connections.
#[derive(Clone)]
pub struct Settings {
    pub timeouts: Timeouts,
    pub capacity: Capacity,
    /// For requests in flight when a shutdown begins.
    pub drain_timeout: Duration,
    pub proxies: Arc<Proxies>,
    pub tls: Option<Tls>,
    /// Without TLS, a client may speak HTTP/2 if it knows that the gateway does.
    pub h2c: bool,
    /// Its connections are counted in the metric.
    pub is_counted: bool,
}

/// The steps of a shutdown.
#[derive(Clone, Default)]
pub struct Shutdown {
    /// No connection is accepted any more; requests in flight go on.
    pub closing: CancellationToken,
    /// Requests in flight are cut off: streams end with an error event. [`serve`] cancels it.
    pub cut: CancellationToken,
    /// Requests in flight are not waited for.
    pub at_once: CancellationToken,
}

/// A port that is open.
struct Port {
    router: Router,
    settings: Settings,
    /// The shutdown has begun.
    closing: CancellationToken,
    /// Its connections, and what they spawn.
    tasks: TaskTracker,
}

/// Listens on `address`.
///
/// # Errors
/// If the address is not available.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart does not wait for the connections of the last process to be forgotten.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it.
    #[cfg(target_os = "linux")]
    SockRef::from(&socket).set_tcp_notsent_lowat(MAX_UNSENT)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves `router` on `listener` until `shutdown.closing`. Requests in flight then have `drain_timeout` to finish, unless
/// `shutdown.at_once` comes first; then they are cut off. Returns when every connection is closed.
pub async fn serve(listener: TcpListener, router: Router, settings: Settings, shutdown: Shutdown) {
    let drain_timeout = settings.drain_timeout;
    let registry = Registry::new(settings.capacity, settings.is_counted);
    let port = Arc::new(Port {
        router,
        settings,
        closing: shutdown.closing,
        tasks: TaskTracker::new(),
    });
    let kill = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = port.closing.cancelled() => break,
            accepted = accept(&listener) => accepted,
        };
        let Some((stream, peer)) = accepted else {
            continue;
        };
        let is_trusted = port.settings.proxies.trusts(peer.ip());
        let Some(admitted) = registry.admit(peer.ip(), is_trusted) else {
            continue;
        };
        let (port, kill) = (port.clone(), kill.clone());
        port.tasks.clone().spawn(async move {
            let evicted = admitted.evicted.clone();
            tokio::select! {
                () = port.serve(stream, peer, &admitted) => {}
                () = evicted.cancelled() => {}
                () = kill.cancelled() => {}
            }
        });
    }
    drop(listener);
    let tasks = &port.tasks;
    tasks.close();
    let last_words = tokio::select! {
        () = tasks.wait() => return,
        () = shutdown.at_once.cancelled() => LAST_WORDS_AT_ONCE,
        () = sleep(drain_timeout) => {
            tracing::warn!(
                connections = tasks.len(),
                "drain_timeout has passed; requests in flight are cut off"
            );
            LAST_WORDS
        }
    };
    shutdown.cut.cancel();
    if timeout(last_words, tasks.wait()).await.is_err() {
        kill.cancel();
    }
    tasks.wait().await;
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

impl Port {
    async fn serve(&self, stream: TcpStream, peer: SocketAddr, admitted: &Admitted) {
        let Settings { timeouts, tls, .. } = &self.settings;
        let opened = tokio::select! {
            opened = timeout(timeouts.header, self.open(stream, peer, admitted)) => opened,
            () = self.closing.cancelled() => return,
        };
        let Ok(Some((stream, mut service, is_http2))) = opened else {
            return;
        };
        let Some(tls) = tls else {
            return self.serve_http(stream, service, is_http2).await;
        };
        let accepted = tokio::select! {
            accepted = timeout(timeouts.header, tls.accept(stream)) => accepted,
            () = self.closing.cancelled() => return,
        };
        match accepted {
            Ok(Ok(accepted)) => {
                service.certificate = accepted.certificate;
                service.rejection = accepted.rejection;
                // Boxed, because connections without TLS would reserve its space.
                let http = self.serve_http(accepted.stream, service, accepted.is_http2);
                Box::pin(http).await;
            }
            Ok(Err(error)) => failed("tls", &error, service.peer),
            Err(_) => failed("tls", &io::ErrorKind::TimedOut.into(), service.peer),
        }
    }

    /// Reads what stands before TLS and HTTP. Returns `None` if the connection must be closed, and whether the client speaks
    /// HTTP/2 without asking.
    async fn open(
        &self,
        mut stream: TcpStream,
        mut peer: SocketAddr,
        admitted: &Admitted,
    ) -> Option<(impl AsyncRead + AsyncWrite + Unpin, Service, bool)> {
        let mut received = BytesMut::new();
        let Settings { proxies, tls, .. } = &self.settings;
        let mut proxies = proxies.clone();
        if proxies.trusts(peer.ip()) {
            let client = opening::proxied_client(&mut stream, &mut received).await;
            let client = client.inspect_err(|error| failed("proxy_protocol", error, peer));
            let client = client.ok()?;
            // Such a proxy passes on what the client writes, headers too.
            if client == Some(None) {
                proxies = Arc::default();
            }
            if let Some(client) = client.flatten() {
                peer = client;
                if !admitted.is_from(peer.ip(), proxies.trusts(peer.ip())) {
                    return None;
                }
            }
        }
        let is_http2 = match tls.is_none() && self.settings.h2c {
            true => opening::is_http2(&mut stream, &mut received).await.ok()?,
            false => false,
        };
        let service = Service {
            router: self.router.clone(),
            peer,
            proxies,
            phase: admitted.phase.clone(),
            certificate: None,
            rejection: None,
            stall_timeout: self.settings.timeouts.keep_alive,
            tasks: self.tasks.clone(),
        };
        let (read, write) = stream.into_split();
        let keep_alive = self.settings.timeouts.keep_alive;
        let write = WriteTimeout::new(write, keep_alive, admitted.phase.clone());
        let received = io::Cursor::new(received.freeze());
        Some((join(received.chain(read), write), service, is_http2))
    }

    async fn serve_http(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        service: Service,
        is_http2: bool,
    ) {
        let (timeouts, closing) = (self.settings.timeouts, self.closing.clone());
        match is_http2 {
            // Boxed, because every connection of HTTP/1 would reserve its space.
            true => Box::pin(http2::serve(stream, service, timeouts, closing)).await,
            false => http1::serve(stream, service, timeouts, closing).await,
        }
    }
}

/// Counts a connection that failed before it carried a request.
fn failed(cause: &'static str, error: &io::Error, peer: SocketAddr) {
    metrics::connection_failure(cause);
    tracing::debug!(%error, client = %peer.ip(), cause, "a connection failed before its first request");
}
