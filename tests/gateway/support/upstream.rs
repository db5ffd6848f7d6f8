//! Upstreams other than the simulator's own port: over TLS, or raw bytes.

use std::{
    io::Write,
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::body::Body;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use lintel::simulator::{self, SecretKey, Simulator};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tempfile::NamedTempFile;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Returns a simulator that verifies the signatures of the gateways of the tests.
pub fn simulator() -> Simulator {
    Simulator::new(SecretKey {
        access_key_id: "simulator".into(),
        secret_access_key: "simulator".into(),
    })
}

/// Serves `router` until the test ends, and returns its address.
pub async fn serve(router: axum::Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "ends with the runtime of the test"
    )]
    tokio::spawn(simulator::serve(listener, router, CancellationToken::new()));
    address
}

/// The streams that a connection may have at a time, if it speaks HTTP/2.
const MAX_STREAMS: u32 = 10;

/// The protocols that a server offers.
#[derive(Clone, Copy, Debug)]
pub enum Alpn {
    /// HTTP/2 first, and HTTP/1.1.
    Both,
    Http1,
    /// The server does not take part in the negotiation.
    None,
}

/// The certificate of a server.
#[derive(Clone, Copy, Debug)]
pub enum Certificate {
    /// For `localhost`.
    Good,
    /// For another host.
    Elsewhere,
    Expired,
}

/// The authority of the tests. Its certificate and its key exist only while the tests run.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: NamedTempFile,
}

fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let pem = format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            base64(issuer.der())
        );
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(pem.as_bytes()).unwrap();
        Authority { issuer, file }
    })
}

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}

/// A listener whose accepted connections are counted.
pub struct Upstream {
    pub port: u16,
    accepted: Arc<AtomicUsize>,
}

impl Upstream {
    /// Handles each connection with `serve`.
    pub async fn start<F: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepted = Arc::new(AtomicUsize::new(0));
        let counted = accepted.clone();
        #[expect(clippy::disallowed_methods, reason = "ends with the test")]
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                #[expect(clippy::disallowed_methods, reason = "ends with the test")]
                tokio::spawn(serve(stream));
            }
        });
        Self { port, accepted }
    }

    /// Serves `simulator` over TLS with HTTP/1.1 and HTTP/2, as the client prefers of what `alpn` offers.
    pub async fn tls(simulator: &Simulator, certificate: Certificate, alpn: Alpn) -> Self {
        let acceptor = acceptor(certificate, alpn);
        let router = simulator.router();
        Self::start(move |stream| {
            let (acceptor, router) = (acceptor.clone(), router.clone());
            async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    let router = router.clone();
                    async move { router.oneshot(request.map(Body::new)).await }
                });
                let mut server = auto::Builder::new(TokioExecutor::new());
                server.http2().max_concurrent_streams(MAX_STREAMS);
                // The client may close the connection.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            }
        })
        .await
    }

    /// The number of connections so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// The lines of `[aws]` for this upstream over TLS, with the authority of the tests.
    pub fn trusted(&self) -> String {
        format!(
            "endpoint_url = \"https://localhost:{}\"\nca_bundle = \"{}\"",
            self.port,
            authority().file.path().display()
        )
    }
}

/// Returns an acceptor with a certificate of the test authority.
pub fn acceptor(certificate: Certificate, alpn: Alpn) -> TlsAcceptor {
    let name = match certificate {
        Certificate::Elsewhere => "elsewhere.test",
        Certificate::Good | Certificate::Expired => "localhost",
    };
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    if matches!(certificate, Certificate::Expired) {
        params.not_after = date_time_ymd(2001, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority().issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = match alpn {
        Alpn::Both => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Alpn::Http1 => vec![b"http/1.1".to_vec()],
        Alpn::None => Vec::new(),
    };
    TlsAcceptor::from(Arc::new(config))
}
