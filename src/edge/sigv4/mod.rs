//! Authenticates the requests of AWS SDKs, which sign with the pair of a key instead of sending its secret.
//!
//! The signature covers the body, so it can only be verified after the body has arrived. Before, a request is rejected if no
//! valid key has its access key id.

mod pairs;
mod signature;

use std::{borrow::Cow, sync::Arc, time::SystemTime};

use axum::http::{HeaderMap, request::Parts};
use bytes::Bytes;
use sha2::{Digest, Sha256};

pub use pairs::AwsPairs;
pub use signature::{Signature, is_signed};

use super::{Edge, access_log::Entry};
use crate::{
    call::Caller,
    error::{Error, Kind},
    metrics,
};
use signature::Fault;

/// The code of the error for a signature that is not that of the key.
pub const INVALID: &str = "invalid_signature";
/// The code of the error for a signature that cannot be verified.
pub const INCOMPLETE: &str = "incomplete_signature";

/// Checks what can be checked before the body arrives. Returns what the client says about its signature.
///
/// # Errors
/// 401 if no valid key has the access key id, or the signature cannot be valid. 429 after too many failed logins.
pub fn admit(edge: &Edge, entry: &Entry, headers: &HeaderMap) -> Result<Signature, Error> {
    let (address, now) = (entry.address(), SystemTime::now());
    let signature = match Signature::read(headers, now) {
        Ok(signature) if !edge.aws_pairs.is_empty() => signature,
        read => {
            edge.logins.check_address(address)?;
            edge.logins.record(None, address);
            return Err(read.map_or_else(unreadable, |_| unsupported()));
        }
    };
    let key_id = signature.key_id.as_deref().unwrap_or_default();
    let mut is_proven = false;
    let gateway = edge.gateway.load();
    let found = gateway.keys.find_signed(key_id, address, now, |digest| {
        let mut secrets = edge.aws_pairs.accepted(key_id, digest);
        is_proven |=
            secrets.any(|secret| edge.logins.is_proven(secret.expose().as_bytes(), address));
        true
    });
    if !is_proven {
        edge.logins.check(signature.key_id.as_deref(), address)?;
    }
    match found {
        Ok(_) => Ok(signature),
        Err(why) => {
            edge.logins.record(signature.key_id.as_deref(), address);
            Err(unknown(why))
        }
    }
}

/// Returns the caller whose key has signed a request.
///
/// # Errors
/// 401 if the signature is not that of a valid key. 429 after too many failed logins.
pub async fn verify(
    edge: &Edge,
    entry: &Entry,
    signature: &Signature,
    request: &Parts,
    body: &Bytes,
) -> Result<Arc<Caller>, Error> {
    let body = body.clone();
    let hash = move || Ok(hex::encode(Sha256::digest(&body)));
    let hash = entry.trace().compute(hash).await?;
    let (address, now) = (entry.address(), SystemTime::now());
    let key_id = signature.key_id.as_deref().unwrap_or_default();
    let signed = signature.string_to_sign(request, &hash);
    let mut secret = None;
    let gateway = edge.gateway.load();
    let found = gateway.keys.find_signed(key_id, address, now, |digest| {
        let Some(signed) = &signed else { return false };
        let mut secrets = edge.aws_pairs.accepted(key_id, digest);
        let made_with = secrets.find(|secret| signature.is_made_with(secret.expose(), signed));
        let is_valid = made_with.is_some();
        secret = secret.take().or(made_with);
        is_valid
    });
    let secret = secret.as_ref().map(|secret| secret.expose().as_bytes());
    let found = edge.logins.judge(key_id, secret, address, found)?;
    if found.is_ok() {
        gateway.keys.record_use(key_id, now);
    }
    found.map_err(|why| match why {
        "signature" => rejection(
            why,
            INVALID,
            "The signature does not match. Check the secret access key, and that no proxy changes the Host header, the path or the body.",
        ),
        why => unknown(why),
    })
}

fn unreadable(fault: Fault) -> Error {
    match fault {
        Fault::Incomplete(what) => rejection(
            "malformed",
            INCOMPLETE,
            format!("The signature cannot be verified: {what}."),
        ),
        Fault::Skewed => rejection(
            "clock",
            INVALID,
            "The signature has expired: X-Amz-Date is more than 5 minutes away from the gateway's clock. Check the client's clock.",
        ),
    }
}

fn unsupported() -> Error {
    let text = "This gateway does not accept AWS signatures. Set AWS_BEARER_TOKEN_BEDROCK to an API key of the gateway.";
    rejection("malformed", "invalid_api_key", text)
}

fn unknown(why: &'static str) -> Error {
    let text = "No valid key of this gateway has this access key id.";
    rejection(why, "invalid_api_key", text)
}

/// `why` is the reason in the metric and the log.
fn rejection(
    why: &'static str,
    code: &'static str,
    message: impl Into<Cow<'static, str>>,
) -> Error {
    metrics::auth_failure(why);
    Error::new(Kind::Unauthenticated, message)
        .with_code(code)
        .with_detail(why)
}

#[cfg(test)]
mod tests;
