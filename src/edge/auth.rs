//! Authenticates requests by API key. A 401 does not say why a key was rejected; the metric and the log do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use super::{Edge, access_log::Entry, labels, sigv4};
use crate::{
    call::Caller,
    error::{Error, Kind},
    metrics,
};
use axum::{
    Extension,
    extract::{MatchedPath, Request, State},
    http::{Extensions, HeaderMap, HeaderValue, header::AUTHORIZATION, request::Parts},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;

/// A request extension: whether its connection has carried a valid key.
#[derive(Clone, Debug, Default)]
pub struct Recognition(Arc<AtomicBool>);

impl Recognition {
    /// Records that a request had a valid key.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Reports whether any request had a valid key.
    pub fn is_known(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A request extension: the names of the client's certificate, which an authority of the configuration has signed.
#[derive(Clone, Debug)]
pub struct CertificateNames(pub Arc<[String]>);

/// Middleware that puts the [`Caller`] into the request's extensions, or the [`Signature`](sigv4::Signature) of an AWS SDK,
/// whose caller is known when the body has arrived.
///
/// # Errors
/// 401 without a valid key, or 429 after too many failed logins.
pub async fn auth(
    State(edge): State<Arc<Edge>>,
    Extension(entry): Extension<Entry>,
    mut request: Request,
    next: Next,
) -> Result<Response, Error> {
    let path = request.extensions().get::<MatchedPath>();
    let is_of_aws_sdk = path.is_some_and(|path| labels::is_of_aws_sdk(path.as_str()));
    if is_of_aws_sdk && sigv4::is_signed(request.headers()) {
        let signature = sigv4::admit(&edge, &entry, request.headers())?;
        request.extensions_mut().insert(Arc::new(signature));
    } else {
        let caller = caller(&edge, &entry, request.headers(), request.extensions())?;
        recognize(&entry, request.extensions(), &caller);
        request.extensions_mut().insert(caller);
    }
    Ok(next.run(request).await)
}

/// Looks the key of a request up after its body has arrived. A slow body may take an hour, and the key may have been revoked
/// or changed meanwhile.
///
/// # Errors
/// 401 without a valid key or signature, or 429 after too many failed logins.
pub async fn caller_of(
    edge: &Edge,
    entry: &Entry,
    request: &Parts,
    body: &Bytes,
) -> Result<Arc<Caller>, Error> {
    let Some(signature) = request.extensions.get::<Arc<sigv4::Signature>>() else {
        return caller(edge, entry, &request.headers, &request.extensions);
    };
    let caller = sigv4::verify(edge, entry, signature, request, body).await?;
    recognize(entry, &request.extensions, &caller);
    Ok(caller)
}

/// Records that a request has a valid key.
fn recognize(entry: &Entry, extensions: &Extensions, caller: &Caller) {
    entry.set_caller(caller);
    if let Some(recognition) = extensions.get::<Recognition>() {
        recognition.set();
    }
}

/// Looks the key of a request up by its secret or by the client's certificate.
///
/// # Errors
/// 401 without a valid key, or 429 after too many failed logins.
fn caller(
    edge: &Edge,
    entry: &Entry,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Arc<Caller>, Error> {
    let (address, now) = (entry.address(), SystemTime::now());
    let gateway = edge.gateway.load();
    let certificate = extensions.get::<CertificateNames>();
    let found = match (secret(headers), certificate) {
        (Ok(secret), _) => {
            let find = || gateway.keys.find(secret, address, now);
            edge.logins.attempt(secret, address, find)?
        }
        (Err("missing"), Some(CertificateNames(names))) => {
            gateway.keys.find_by_certificate(names, address, now)
        }
        (Err(why), _) => {
            edge.logins.check_address(address)?;
            edge.logins.record(None, address);
            Err(why)
        }
    };
    found.map_err(rejected)
}

fn rejected(why: &'static str) -> Error {
    metrics::auth_failure(why);
    Error::new(
        Kind::Unauthenticated,
        "No valid API key was provided. Send one as 'Authorization: Bearer <key>', 'x-api-key' or 'api-key'.",
    )
    .with_code("invalid_api_key")
    .with_detail(why)
}

/// Returns the secret of the request. Rejects two different secrets, because it is ambiguous which one applies.
fn secret(headers: &HeaderMap) -> Result<&[u8], &'static str> {
    let bearer = headers.get_all(AUTHORIZATION).iter().map(bearer);
    let plain = ["x-api-key", "api-key"]
        .into_iter()
        .flat_map(|name| headers.get_all(name))
        .map(|value| Ok(value.as_bytes()));
    let mut found = None;
    for secret in bearer.chain(plain) {
        let secret = secret?;
        if found.is_some_and(|other| other != secret) {
            return Err("malformed");
        }
        found = Some(secret);
    }
    found.filter(|secret| !secret.is_empty()).ok_or("missing")
}

fn bearer(value: &HeaderValue) -> Result<&[u8], &'static str> {
    match value.as_bytes().split_at_checked(7) {
        Some((scheme, secret)) if scheme.eq_ignore_ascii_case(b"bearer ") => {
            Ok(secret.trim_ascii())
        }
        _ => Err("malformed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn secret_is_read_from_any_of_three_headers() {
        for pair in [
            ("authorization", "Bearer abc"),
            ("authorization", "bearer  abc"),
            ("x-api-key", "abc"),
            ("api-key", "abc"),
        ] {
            assert_eq!(secret(&headers(&[pair])), Ok(&b"abc"[..]), "{pair:?}");
        }
        assert_eq!(
            secret(&headers(&[
                ("authorization", "Bearer abc"),
                ("x-api-key", "abc")
            ])),
            Ok(&b"abc"[..])
        );
    }

    #[test]
    fn missing_malformed_and_ambiguous_secrets_are_rejected() {
        assert_eq!(secret(&HeaderMap::new()), Err("missing"));
        assert_eq!(
            secret(&headers(&[("authorization", "Basic YTpi")])),
            Err("malformed")
        );
        assert_eq!(
            secret(&headers(&[("authorization", "Bearer ")])),
            Err("missing")
        );
        assert_eq!(
            secret(&headers(&[
                ("authorization", "Bearer abc"),
                ("x-api-key", "abd")
            ])),
            Err("malformed")
        );
    }
}
