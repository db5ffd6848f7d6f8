//! The certificates that connections to AWS trust.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

/// The certificate authorities that may vouch for AWS.
#[derive(Clone, Debug)]
pub struct TrustedRoots(Arc<RootCertStore>);

impl TrustedRoots {
    /// Returns the authorities that the system trusts. `SSL_CERT_FILE` and `SSL_CERT_DIR` override them.
    pub fn system() -> Self {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "cannot read a certificate that the system trusts");
        }
        let mut roots = RootCertStore::empty();
        if roots.add_parsable_certificates(found.certs).0 == 0 {
            tracing::warn!(
                "the system trusts no certificates, so no connection to AWS can succeed; set aws.ca_bundle"
            );
        }
        Self(Arc::new(roots))
    }

    /// Reads authorities from a PEM file.
    ///
    /// # Errors
    /// The reason, if the file cannot be read or has no valid certificate.
    pub fn from_file(path: &Path) -> Result<Self, String> {
        let certificates =
            CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            let certificate = certificate.map_err(|error| error.to_string())?;
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        match roots.is_empty() {
            true => Err("it has no certificate".to_owned()),
            false => Ok(Self(Arc::new(roots))),
        }
    }

    /// Returns settings for connections that offer HTTP/1.1 only.
    ///
    /// # Errors
    /// If the cryptography supports none of the protocol versions.
    pub(super) fn client_config(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(self.0.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}
