//! Who is calling. A 401 tells nothing about why; the metric does.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use axum::{
    Extension,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header::AUTHORIZATION},
    middleware::Next,
    response::Response,
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Edge, access_log::Entry};
use crate::{
    call::Caller,
    error::{Error, Kind},
    metrics,
};

/// One static key; of the secret only its SHA-256 is kept.
#[derive(Clone, Debug)]
pub struct Key {
    pub digest: [u8; 32],
    pub expires: Option<SystemTime>,
    pub caller: Arc<Caller>,
}

/// All keys, by digest. The map is keyed by what an attacker cannot steer bit by bit, and compared in constant time.
#[derive(Clone, Debug, Default)]
pub struct Keys(HashMap<[u8; 32], Key>);

impl Keys {
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Self {
        Self(keys.into_iter().map(|key| (key.digest, key)).collect())
    }

    /// The caller that holds `secret`, or the bounded label of why there is none.
    fn find(&self, secret: &[u8], now: SystemTime) -> Result<&Arc<Caller>, &'static str> {
        let digest: [u8; 32] = Sha256::digest(secret).into();
        let key = self.0.get(&digest).filter(|key| bool::from(key.digest.ct_eq(&digest))).ok_or("unknown")?;
        if key.expires.is_some_and(|expires| expires <= now) {
            return Err("expired");
        }
        Ok(&key.caller)
    }
}

/// The layer: puts the [`Caller`] into the request's extensions, where `decode` takes it.
pub async fn auth(
    State(edge): State<Arc<Edge>>,
    Extension(entry): Extension<Entry>,
    mut request: Request,
    next: Next,
) -> Result<Response, Error> {
    let found = presented(request.headers()).and_then(|secret| edge.keys.find(secret, SystemTime::now()));
    let caller = found.map_err(|why| {
        metrics::auth_failure(why);
        Error::new(
            Kind::Unauthenticated,
            "No valid API key was given. Send one as 'Authorization: Bearer <key>', 'x-api-key' or 'api-key'.",
        )
        .with_code("invalid_api_key")
        .with_detail(why)
    })?;
    entry.caller(&caller.key_id);
    request.extensions_mut().insert(caller.clone());
    Ok(next.run(request).await)
}

/// The one secret that the request presents. Two that differ are refused: nobody can say which was meant.
fn presented(headers: &HeaderMap) -> Result<&[u8], &'static str> {
    let bearer = headers.get_all(AUTHORIZATION).iter().map(bearer);
    let plain =
        ["x-api-key", "api-key"].into_iter().flat_map(|name| headers.get_all(name)).map(|value| Ok(value.as_bytes()));
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
        Some((scheme, secret)) if scheme.eq_ignore_ascii_case(b"bearer ") => Ok(secret.trim_ascii()),
        _ => Err("malformed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_secret_is_read_from_three_headers() {
        for pair in [
            ("authorization", "Bearer abc"),
            ("authorization", "bearer  abc"),
            ("x-api-key", "abc"),
            ("api-key", "abc"),
        ] {
            assert_eq!(presented(&headers(&[pair])), Ok(&b"abc"[..]), "{pair:?}");
        }
        assert_eq!(presented(&headers(&[("authorization", "Bearer abc"), ("x-api-key", "abc")])), Ok(&b"abc"[..]));
    }

    #[test]
    fn what_is_not_one_secret_is_refused() {
        assert_eq!(presented(&HeaderMap::new()), Err("missing"));
        assert_eq!(presented(&headers(&[("authorization", "Basic YTpi")])), Err("malformed"));
        assert_eq!(presented(&headers(&[("authorization", "Bearer ")])), Err("missing"));
        assert_eq!(presented(&headers(&[("authorization", "Bearer abc"), ("x-api-key", "abd")])), Err("malformed"));
    }

    #[test]
    fn keys_expire() {
        let caller = Arc::new(Caller { key_id: "ci".into(), ..Caller::default() });
        let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(100);
        let keys = Keys::new([Key { digest: Sha256::digest(b"abc").into(), expires: Some(at), caller }]);
        assert!(keys.find(b"abc", SystemTime::UNIX_EPOCH).is_ok());
        assert_eq!(keys.find(b"abc", at).err(), Some("expired"));
        assert_eq!(keys.find(b"abd", at).err(), Some("unknown"));
    }
}
