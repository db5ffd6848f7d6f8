//! The connections to AWS. All clients of the SDK, the providers of credentials and the lookups of ARNs share them.
//!
//! HTTP/1.1 only, a connection per request in flight. On a shared HTTP/2 connection, a request beyond the service's limit
//! on streams waits although it looks sent, a client that stops reading takes the window of all others, and a dead
//! connection is not replaced.

use std::{
    collections::HashMap,
    fmt, io,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll},
    time::Duration,
};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings,
            SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::body::SdkBody;
use futures_util::future::BoxFuture;
use http::{Uri, uri::Scheme};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::{
        legacy::{
            Client,
            connect::{HttpConnector as TcpConnector, dns::Name, proxy::Tunnel},
        },
        proxy::matcher::Matcher,
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::{net::TcpStream, time::timeout};
use tower::Service;

use super::tls::TrustedRoots;

tokio::task_local! {
    /// The time limit of the call that this task runs. A task-local, because neither the SDK nor hyper hands anything of a
    /// request to what connects.
    static CONNECT_LIMIT: Duration;
}

/// Runs a call whose requests may take `limit` to connect.
pub fn connecting_within<F: Future>(limit: Duration, call: F) -> impl Future<Output = F::Output> {
    CONNECT_LIMIT.scope(limit, call)
}

/// Connecting took longer than this time limit.
#[derive(Debug)]
pub struct ConnectTimeout(pub Duration);

impl fmt::Display for ConnectTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no connection within {} s", self.0.as_secs_f64())
    }
}

impl std::error::Error for ConnectTimeout {}

/// Time limit for DNS, TCP and TLS together, outside of calls.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time limit for TCP, which the addresses of a name share: if one does not answer, another is tried. Calls that may take
/// longer to connect have it, too.
const TCP_TIMEOUT: Duration = Duration::from_secs(3);
/// Idle connections kept per host. More would only serve the next burst.
const MAX_IDLE: usize = 256;
/// Shorter than the time after which load balancers close or forget an idle connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);
/// After this time without traffic the peer is probed. [`KEEPALIVE_PROBES`] unanswered probes end the connection.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_PROBES: u32 = 3;
/// A connection ends if the peer does not acknowledge sent bytes for this long.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);

/// The shared HTTP client. Cheap to clone.
#[derive(Clone)]
pub struct Connections(Arc<Inner>);

struct Inner {
    connector: HttpsConnector<Proxied>,
    /// The pool of each connect timeout and read timeout. The SDK uses few.
    pools: RwLock<HashMap<Timeouts, SharedHttpConnector>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Timeouts {
    connect: Duration,
    /// To the head of the reply.
    read: Option<Duration>,
}

impl Connections {
    /// Creates the client. It trusts servers with a certificate of `roots`, and uses the proxies that the environment
    /// names (`HTTPS_PROXY`, `NO_PROXY`).
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(roots: &TrustedRoots) -> Result<Self, String> {
        let look_up = |name: Name| -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            Box::pin(async move {
                let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
                Ok(found.collect())
            })
        };
        Self::with_resolver(roots, Resolver(Arc::new(look_up)))
    }

    fn with_resolver(roots: &TrustedRoots, resolver: Resolver) -> Result<Self, String> {
        let mut tcp = TcpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(TCP_TIMEOUT));
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
        tcp.set_keepalive_retries(Some(KEEPALIVE_PROBES));
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
        let tls = Arc::new(roots.client_config()?);
        let proxied = Proxied {
            to_proxy: (tcp.clone(), tls.clone()).into(),
            tcp,
            proxies: Arc::new(Matcher::from_env()),
        };
        Ok(Self(Arc::new(Inner {
            connector: (proxied, tls).into(),
            pools: RwLock::default(),
        })))
    }

    fn pool(&self, timeouts: Timeouts) -> SharedHttpConnector {
        let pools = self.0.pools.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(&timeouts) {
            return pool.clone();
        }
        drop(pools);
        let mut pools = self.0.pools.write().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let connector = Timed {
                connector: self.0.connector.clone(),
                limit: timeouts.connect,
            };
            let client = Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE_TIMEOUT)
                .pool_max_idle_per_host(MAX_IDLE)
                .build(connector);
            SharedHttpConnector::new(Pool {
                client,
                read_timeout: timeouts.read,
            })
        };
        pools.entry(timeouts).or_insert_with(new).clone()
    }

    /// Sends a request outside the SDK. `limit` bounds the time to the head of the reply, if the caller has no deadline.
    ///
    /// # Errors
    /// If no reply arrives.
    pub async fn send(
        &self,
        request: HttpRequest,
        limit: Option<Duration>,
    ) -> Result<HttpResponse, ConnectorError> {
        let timeouts = Timeouts {
            connect: CONNECT_TIMEOUT,
            read: limit,
        };
        self.pool(timeouts).call(request).await
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}

impl HttpClient for Connections {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        self.pool(Timeouts {
            connect: settings.connect_timeout().unwrap_or(CONNECT_TIMEOUT),
            read: settings.read_timeout(),
        })
    }
}

/// The connections with the same timeouts.
struct Pool {
    client: Client<Timed<HttpsConnector<Proxied>>, SdkBody>,
    read_timeout: Option<Duration>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl HttpConnector for Pool {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => {
                return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into())));
            }
        };
        let (reply, read_timeout) = (self.client.request(request), self.read_timeout);
        HttpConnectorFuture::new(async move {
            let reply = match read_timeout {
                Some(limit) => timeout(limit, reply)
                    .await
                    .map_err(|elapsed| ConnectorError::timeout(elapsed.into()))?,
                None => reply.await,
            };
            let reply = reply.map_err(|error| ConnectorError::io(error.into()))?;
            HttpResponse::try_from(reply.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// Resolves the name of a host, again for each new connection.
#[derive(Clone)]
struct Resolver(Arc<LookUp>);

type LookUp = dyn Fn(Name) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync;

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let found = (self.0)(name);
        Box::pin(async move { Ok(found.await?.into_iter()) })
    }
}

/// Connects to a host: directly, or through a tunnel of a proxy. Plain HTTP never goes through a proxy, because the local
/// services that hand out credentials speak it.
#[derive(Clone)]
struct Proxied {
    tcp: TcpConnector<Resolver>,
    to_proxy: HttpsConnector<TcpConnector<Resolver>>,
    proxies: Arc<Matcher>,
}

impl Service<Uri> for Proxied {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let is_secure = uri.scheme() == Some(&Scheme::HTTPS);
        let proxy = is_secure.then(|| self.proxies.intercept(&uri)).flatten();
        let Some(proxy) = proxy else {
            let connecting = self.tcp.call(uri);
            return Box::pin(async move { Ok(connecting.await?.into()) });
        };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.to_proxy.clone());
        if let Some(credentials) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(credentials.clone());
        }
        let connecting = tunnel.call(uri);
        Box::pin(async move { Ok(connecting.await?) })
    }
}

/// Bounds the time to connect.
#[derive(Clone)]
struct Timed<C> {
    connector: C,
    limit: Duration,
}

impl<C> Service<Uri> for Timed<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<C::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let limit = CONNECT_LIMIT.try_with(|limit| *limit).unwrap_or(self.limit);
        let connecting = timeout(limit, self.connector.call(uri));
        Box::pin(async move { connecting.await.map_err(|_| ConnectTimeout(limit))? })
    }
}

#[cfg(test)]
mod tests;
