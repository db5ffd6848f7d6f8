//! Certificates that exist only while the tests run.

use std::path::{Path, PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

/// An authority, with the directory of its files.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

/// A certificate with its key, as files and as values.
pub struct Issued {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    pub certificate: CertificateDer<'static>,
    pub key: PrivateKeyDer<'static>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = TempDir::new().unwrap();
        let authority = Self { issuer, directory };
        write(&authority.file(), "CERTIFICATE", authority.issuer.der());
        authority
    }

    /// The certificate of the authority.
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }

    pub fn certificate(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// Issues a certificate for the DNS name `name`, which is also its common name, in files that begin with `file`.
    pub fn issue(&self, name: &str, file: &str) -> Issued {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let path = |what: &str| self.directory.path().join(format!("{file}.{what}.pem"));
        let issued = Issued {
            cert_file: path("cert"),
            key_file: path("key"),
            certificate: certificate.der().clone(),
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        };
        write(&issued.cert_file, "CERTIFICATE", &issued.certificate);
        write(&issued.key_file, "PRIVATE KEY", issued.key.secret_der());
        issued
    }
}

fn write(path: &Path, label: &str, der: &[u8]) {
    let text = STANDARD.encode(der);
    let pem = format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n");
    std::fs::write(path, pem).unwrap();
}
