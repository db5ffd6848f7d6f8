//! Passes the requests of a connection to axum's router.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request, response::Response};
use futures_util::future::BoxFuture;
use http::{
    HeaderValue, Version,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
};
use hyper::body::Incoming;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::{
    http1::{self, head},
    phase::Phase,
    proxies::Proxies,
    stalled,
};
use crate::edge::{BadHead, CertificateNames, Peer, until_end};

/// Serves the requests of one connection.
pub struct Service {
    pub router: Router,
    /// The other end of the connection, as far as the PROXY protocol tells it.
    pub peer: SocketAddr,
    pub proxies: Arc<Proxies>,
    pub phase: Phase,
    /// What the certificate of the client is for.
    pub certificate: Option<CertificateNames>,
    /// Why every request of the connection is rejected.
    pub rejection: Option<BadHead>,
    /// How long a client of HTTP/2 may not read a response.
    pub stall_timeout: Duration,
    /// The tasks of the port.
    pub tasks: TaskTracker,
}

impl Service {
    fn prepare(&self, request: hyper::Request<Incoming>) -> Request {
        let mut request = request.map(Body::new);
        let peer = self.proxies.client(self.peer, request.headers());
        let rejection = match request.version() {
            Version::HTTP_2 => check(&request).err(),
            _ => self.phase.take_rejection(),
        };
        let extensions = request.extensions_mut();
        extensions.insert(Peer(peer));
        extensions.insert(self.phase.recognition().clone());
        if let Some(bad) = rejection.or(self.rejection) {
            extensions.insert(bad);
        }
        if let Some(names) = &self.certificate {
            extensions.insert(names.clone());
        }
        request
    }
}

/// Checks what the codec of HTTP/2 does not: the number of headers, that the length and the host are given once, and that the
/// path is one.
fn check(request: &Request) -> Result<(), BadHead> {
    if request.headers().len() > head::MAX_LINES {
        return Err(head::TOO_LARGE);
    }
    if request.headers().get_all(CONTENT_LENGTH).iter().count() > 1 {
        return Err(head::LENGTH);
    }
    let hosts = request.headers().get_all(HOST).iter();
    let authority = request
        .uri()
        .authority()
        .map(|host| host.as_str().as_bytes());
    let mut named = authority
        .into_iter()
        .chain(hosts.map(|host| host.as_bytes()));
    let host = named.next().ok_or(head::HOST)?;
    if !head::is_host(host) || named.any(|other| !other.eq_ignore_ascii_case(host)) {
        return Err(head::HOST);
    }
    match request.uri().path().starts_with('/') {
        true => Ok(()),
        false => Err(head::REQUEST_LINE),
    }
}

impl hyper::service::Service<hyper::Request<Incoming>> for Service {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        let phase = self.phase.clone();
        let busy = phase.busy();
        let is_http2 = request.version() == Version::HTTP_2;
        let is_chunked = request.headers().contains_key(TRANSFER_ENCODING);
        let request = self.prepare(request);
        let router = self.router.clone();
        let (stall_timeout, tasks) = (self.stall_timeout, self.tasks.clone());
        Box::pin(async move {
            let response = router.oneshot(request).await?;
            Ok(match is_http2 {
                // Once it is cut off, nothing of it keeps the connection busy.
                true => stalled::cut_off(until_end(response, busy), stall_timeout, &tasks),
                false => until_end(
                    http1::probed(closing(response, &phase, is_chunked), phase),
                    busy,
                ),
            })
        })
    }
}

/// Tells the client of an early response that the connection closes after it, because what is left of the body will not be
/// read. Of a body in chunks, hyper reads no more than one after the response has begun, even if it has arrived.
fn closing(mut response: Response, phase: &Phase, is_chunked: bool) -> Response {
    if phase.is_receiving() || is_chunked && response.status().is_client_error() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}
