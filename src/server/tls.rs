//! TLS of a port. The files are read again when they change, so that a renewed certificate needs no restart.

mod pinned;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::sleep,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

pub use self::pinned::client;
use super::http1::head::bad;
use crate::{
    edge::{BadHead, CertificateNames},
    error::Kind,
};

/// How often the files are read.
const RELOAD_INTERVAL: Duration = Duration::from_secs(10);

const NOT_ALLOWED: BadHead = BadHead {
    kind: Kind::PermissionDenied,
    ..bad(
        "certificate_not_allowed",
        "The client certificate is not in the list of those that may connect.",
    )
};

/// The settings `tls` of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM: the certificate of the gateway, and those between it and the authority.
    pub cert_file: PathBuf,
    /// PEM.
    pub key_file: PathBuf,
    /// PEM: the authorities whose client certificates are accepted. If `None`, clients are not asked for one.
    pub client_ca_file: Option<PathBuf>,
    /// The names of which a client certificate must have one. If empty, clients without a certificate may connect too.
    pub allow: Vec<String>,
}

/// The contents of the files.
#[derive(PartialEq, Eq)]
struct Files {
    certificates: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// Accepts TLS connections. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    settings: Arc<TlsSettings>,
    offers_http2: bool,
    current: Arc<ArcSwap<TlsState>>,
}

struct TlsState {
    files: Files,
    config: Arc<ServerConfig>,
}

/// An accepted connection.
pub struct TlsConnection<S> {
    pub stream: TlsStream<S>,
    /// The client chose HTTP/2.
    pub is_http2: bool,
    pub certificate: Option<CertificateNames>,
    /// Why the requests of the client are rejected.
    pub rejection: Option<BadHead>,
}

impl Tls {
    /// Reads the files of `settings`.
    ///
    /// # Errors
    /// If a file cannot be read or used. The message names it.
    pub fn load(settings: TlsSettings, offers_http2: bool) -> Result<Self, String> {
        let files = read(&settings)?;
        let config = config(&settings, &files, offers_http2)?;
        Ok(Self {
            settings: Arc::new(settings),
            offers_http2,
            current: Arc::new(ArcSwap::from_pointee(TlsState { files, config })),
        })
    }

    /// Reads the files again every ten seconds until `stop`. Files that cannot be used are reported once, and the last good
    /// ones stay in use.
    pub async fn keep_up(self, stop: CancellationToken) {
        let mut reported = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(RELOAD_INTERVAL) => {}
            }
            match self.reload() {
                Ok(false) => {}
                Ok(true) => {
                    reported = None;
                    tracing::info!(file = %self.settings.cert_file.display(), "a new certificate is in use");
                }
                Err(error) if reported.as_ref() == Some(&error) => {}
                Err(error) => {
                    tracing::error!(
                        error,
                        "the certificate cannot be renewed; the last one stays in use"
                    );
                    reported = Some(error);
                }
            }
        }
    }

    /// Returns whether the files have changed.
    fn reload(&self) -> Result<bool, String> {
        let files = read(&self.settings)?;
        if files == self.current.load().files {
            return Ok(false);
        }
        let config = config(&self.settings, &files, self.offers_http2)?;
        self.current.store(Arc::new(TlsState { files, config }));
        Ok(true)
    }

    /// Shakes hands with a client.
    ///
    /// # Errors
    /// If the handshake fails.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<TlsConnection<S>> {
        let acceptor = TlsAcceptor::from(self.current.load().config.clone());
        let stream = acceptor.accept(stream).await?;
        let session = stream.get_ref().1;
        let certificates = session.peer_certificates();
        let certificate = certificates.and_then(|chain| names(chain.first()?));
        let allow = &self.settings.allow;
        let is_allowed = allow.is_empty()
            || certificate
                .as_ref()
                .is_some_and(|names| names.0.iter().any(|name| allow.contains(name)));
        Ok(TlsConnection {
            is_http2: session.alpn_protocol() == Some(b"h2"),
            certificate,
            rejection: (!is_allowed).then_some(NOT_ALLOWED),
            stream,
        })
    }
}

fn read(settings: &TlsSettings) -> Result<Files, String> {
    let file = |path: &PathBuf| {
        std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    Ok(Files {
        certificates: file(&settings.cert_file)?,
        key: file(&settings.key_file)?,
        client_ca: settings.client_ca_file.as_ref().map(file).transpose()?,
    })
}

fn config(
    settings: &TlsSettings,
    files: &Files,
    offers_http2: bool,
) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(|error| {
        format!(
            "{} has no private key: {error}",
            settings.key_file.display()
        )
    })?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match (&files.client_ca, &settings.client_ca_file) {
        (Some(pem), Some(path)) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(pem, path)? {
                roots
                    .add(certificate)
                    .map_err(|error| format!("{}: {error}", path.display()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match settings.allow.is_empty() {
                true => verifier.allow_unauthenticated(),
                false => verifier,
            };
            let verifier = verifier
                .build()
                .map_err(|error| format!("{}: {error}", path.display()))?;
            builder.with_client_cert_verifier(verifier)
        }
        _ => builder.with_no_client_auth(),
    };
    let chain = certificates(&files.certificates, &settings.cert_file)?;
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        format!(
            "{} and {} do not belong together: {error}",
            settings.cert_file.display(),
            settings.key_file.display()
        )
    })?;
    config.alpn_protocols = match offers_http2 {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    Ok(Arc::new(config))
}

fn certificates(
    pem: &[u8],
    path: &std::path::Path,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("{} has no certificate", path.display())),
        Err(error) => Err(format!("{} is not valid PEM: {error}", path.display())),
    }
}

/// Returns the subject of a certificate, its common name, and the DNS names and URIs that it is for.
fn names(certificate: &CertificateDer<'_>) -> Option<CertificateNames> {
    let (_, certificate) = parse_x509_certificate(certificate).ok()?;
    let subject = certificate.subject();
    let mut names = vec![subject.to_string()];
    let common = subject.iter_common_name();
    names.extend(common.filter_map(|name| Some(name.as_str().ok()?.to_owned())));
    if let Ok(Some(alternatives)) = certificate.subject_alternative_name() {
        names.extend(
            alternatives
                .value
                .general_names
                .iter()
                .filter_map(|name| match name {
                    GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
                    _ => None,
                }),
        );
    }
    Some(CertificateNames(names.into()))
}
