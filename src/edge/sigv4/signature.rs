//! The signature of a request (AWS Signature Version 4), as AWS documents it for services other than S3.

use std::time::{Duration, SystemTime};

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use axum::http::{
    HeaderMap,
    header::{AUTHORIZATION, HOST},
    request::Parts,
};
use jiff::{civil::DateTime, tz::TimeZone};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::pairs;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: &str = "x-amz-date";
const PAYLOAD_HASH: &str = "x-amz-content-sha256";

/// The service in the scope of signatures.
const SERVICE: &str = "bedrock";

/// How far the clock of a client may be from that of the gateway. AWS allows as much.
const MAX_SKEW: Duration = Duration::from_secs(300);

/// Headers that decide what a request does. They must be signed, and so must `host`.
const SIGNED_PREFIXES: [&str; 2] = ["x-amz-", "x-amzn-bedrock-"];

/// What a client says about its signature. Nothing of it is proven.
#[derive(Clone, Debug)]
pub struct Signature {
    /// The id of the key that the access key id names. `None` if it is not one of this gateway.
    pub key_id: Option<String>,
    /// `DATE/REGION/bedrock/aws4_request`.
    scope: String,
    /// `YYYYMMDDTHHMMSSZ`, as in the header.
    date: String,
    time: SystemTime,
    signed_headers: Vec<String>,
    signature: String,
}

/// Why a signature is rejected before it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not complete, or does not cover what it must. The text says what is wrong.
    Incomplete(&'static str),
    /// The clocks of client and gateway differ too much.
    Skewed,
}

/// Reports whether a request carries a signature and not a key.
pub fn is_signed(headers: &HeaderMap) -> bool {
    let value = headers.get(AUTHORIZATION);
    value.is_some_and(|value| value.as_bytes().starts_with(ALGORITHM.as_bytes()))
}

impl Signature {
    /// Reads the signature of a request that arrives at `now`.
    ///
    /// # Errors
    /// If it is malformed, does not cover the host and the headers of AWS, or its date is not close to `now`.
    pub fn read(headers: &HeaderMap, now: SystemTime) -> Result<Self, Fault> {
        let one = |name: &str| {
            let mut values = headers.get_all(name).iter();
            let first = values.next()?.to_str().ok()?;
            values.next().is_none().then_some(first)
        };
        let header = one(AUTHORIZATION.as_str()).ok_or(Fault::Incomplete(
            "the request must have one Authorization header",
        ))?;
        if ["x-api-key", "api-key"]
            .iter()
            .any(|name| headers.contains_key(*name))
        {
            return Err(Fault::Incomplete("a signed request must have no API key"));
        }
        let part = |name: &str| {
            let parts = header.strip_prefix(ALGORITHM)?.split(',');
            let mut found =
                parts.filter_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
            found.next().filter(|_| found.next().is_none())
        };
        let (Some(credential), Some(names), Some(signature)) =
            (part("Credential"), part("SignedHeaders"), part("Signature"))
        else {
            return Err(Fault::Incomplete(
                "the Authorization header must have one Credential, SignedHeaders and Signature",
            ));
        };
        let date = one(DATE).ok_or(Fault::Incomplete(
            "the request must have one X-Amz-Date header",
        ))?;
        let time = time(date).ok_or(Fault::Incomplete(
            "X-Amz-Date must be a time such as 20260131T235959Z",
        ))?;
        let (access_key_id, scope) = credential.split_once('/').unwrap_or_default();
        let is_for_bedrock = match scope.split('/').collect::<Vec<_>>()[..] {
            [day, region, SERVICE, "aws4_request"] => {
                date.get(..8) == Some(day) && !region.is_empty()
            }
            _ => false,
        };
        if !is_for_bedrock {
            return Err(Fault::Incomplete(
                "the credential must be ACCESS_KEY_ID/DATE/REGION/bedrock/aws4_request, with the date of X-Amz-Date",
            ));
        }
        let signed_headers: Vec<String> = names.split(';').map(str::to_owned).collect();
        check_coverage(headers, &signed_headers)?;
        if one(PAYLOAD_HASH).is_some_and(|hash| hash.len() != 64) {
            return Err(Fault::Incomplete(
                "X-Amz-Content-Sha256 must be the SHA-256 of the body: unsigned and chunked payloads are not accepted",
            ));
        }
        let skew = now
            .duration_since(time)
            .unwrap_or_else(|early| early.duration());
        if skew > MAX_SKEW {
            return Err(Fault::Skewed);
        }
        Ok(Self {
            key_id: pairs::key_id(access_key_id),
            scope: scope.to_owned(),
            date: date.to_owned(),
            time,
            signed_headers,
            signature: signature.to_owned(),
        })
    }

    /// Returns the text that a client signs for this request. Returns `None` if a signed header is missing or not text.
    /// `body_hash` is the SHA-256 of the body in hexadecimal.
    pub fn string_to_sign(&self, request: &Parts, body_hash: &str) -> Option<String> {
        let canonical = self.canonical_request(request, body_hash)?;
        let hash = hex::encode(Sha256::digest(canonical));
        Some(format!(
            "{ALGORITHM}\n{}\n{}\n{hash}",
            self.date, self.scope
        ))
    }

    /// Reports whether the signature of `string_to_sign` was made with this secret access key.
    pub fn is_made_with(&self, secret_access_key: &str, string_to_sign: &str) -> bool {
        let region = self.scope.split('/').nth(1).unwrap_or_default();
        let key = generate_signing_key(secret_access_key, self.time, region, SERVICE);
        let expected = calculate_signature(key, string_to_sign.as_bytes());
        expected.as_bytes().ct_eq(self.signature.as_bytes()).into()
    }

    fn canonical_request(&self, request: &Parts, body_hash: &str) -> Option<String> {
        let mut headers = String::new();
        for name in &self.signed_headers {
            headers += &format!("{name}:{}\n", header(request, name)?);
        }
        Some(format!(
            "{}\n{}\n{}\n{headers}\n{}\n{}",
            request.method,
            path(request.uri.path()),
            query(request.uri.query().unwrap_or_default()),
            self.signed_headers.join(";"),
            body_hash,
        ))
    }
}

/// Checks that a signature covers what decides about a request.
fn check_coverage(headers: &HeaderMap, signed: &[String]) -> Result<(), Fault> {
    if !signed.is_sorted_by(|one, next| one < next) {
        return Err(Fault::Incomplete(
            "SignedHeaders must be sorted, each name once",
        ));
    }
    let is_signed = |name: &str| signed.iter().any(|signed| signed == name);
    // The pseudo-header is what AWS's SDK for JavaScript signs on HTTP/2.
    if !is_signed("host") && !is_signed(":authority") {
        return Err(Fault::Incomplete("the Host header must be signed"));
    }
    let must_be_signed = |name: &str| {
        SIGNED_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
    };
    let mut names = headers.keys().map(|name| name.as_str());
    match names.all(|name| !must_be_signed(name) || is_signed(name)) {
        true => Ok(()),
        false => Err(Fault::Incomplete(
            "all headers that begin with X-Amz- or X-Amzn-Bedrock- must be signed",
        )),
    }
}

/// Returns the values of a header in canonical form.
fn header(request: &Parts, name: &str) -> Option<String> {
    let authority = || {
        request
            .uri
            .authority()
            .map(|authority| authority.to_string())
    };
    match name {
        ":authority" => return authority(),
        "host" if !request.headers.contains_key(HOST) => return authority(),
        _ => {}
    }
    let values = request.headers.get_all(name).iter().map(|value| {
        let text = std::str::from_utf8(value.as_bytes()).ok()?;
        Some(text.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
    });
    let values: Vec<String> = values.collect::<Option<_>>()?;
    (!values.is_empty()).then(|| values.join(","))
}

/// Encodes the path as it was sent once more. SDKs also resolve `.` and `..`, which the paths of this gateway cannot have.
fn path(sent: &str) -> String {
    let mut encoded = String::with_capacity(sent.len());
    for byte in sent.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

/// Sorts the parameters, which are sent in encoded form.
fn query(sent: &str) -> String {
    let pairs = sent.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(&str, &str)> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

/// Reads `20261122T130000Z`.
fn time(date: &str) -> Option<SystemTime> {
    let time = DateTime::strptime("%Y%m%dT%H%M%SZ", date).ok()?;
    let time = time.to_zoned(TimeZone::UTC).ok()?;
    Some(time.timestamp().into())
}
