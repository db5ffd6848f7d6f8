//! Signature Version 4, as the service checks it.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, SessionTokenMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use aws_smithy_types::date_time::{DateTime, Format};
use axum::http::{HeaderMap, Method, Uri};

use super::ServiceError;

/// The clock skew that the service allows.
const MAX_SKEW: Duration = Duration::from_secs(300);

/// The key pair whose signatures are verified.
#[derive(Clone)]
pub struct SecretKey {
    pub access_key_id: String,
    pub secret_access_key: String,
}

/// Whether the request carries a Bedrock API key.
pub fn is_api_key(headers: &HeaderMap) -> bool {
    let token = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    token.is_some_and(|token| !token.trim().is_empty())
}

/// The region for which a request is signed.
pub fn region(headers: &HeaderMap) -> Option<&str> {
    let authorization = headers.get("authorization")?.to_str().ok()?;
    let header = SignatureHeader::parse(authorization)?;
    header.credential.split('/').nth(2)
}

/// Checks the signature of a request that arrives at `now`.
///
/// # Errors
/// The service's error for a missing, expired or wrong signature.
pub fn check(
    own: &SecretKey,
    now: SystemTime,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(), ServiceError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(authorization) = text("authorization") else {
        return Err(rejection(
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        ));
    };
    // Nothing is signed with an API key.
    if is_api_key(headers) {
        return Ok(());
    }
    let header = SignatureHeader::parse(authorization)
        .ok_or_else(|| incomplete("the Authorization header is not a signature"))?;
    let date = text("x-amz-date").ok_or_else(|| incomplete("there is no X-Amz-Date"))?;
    let time = parse_date(date).ok_or_else(|| incomplete("X-Amz-Date is not a time"))?;
    let skew = now
        .duration_since(time)
        .unwrap_or_else(|early| early.duration());
    if skew > MAX_SKEW {
        return Err(rejection(
            "InvalidSignatureException",
            format!("Signature expired: {date} is too far from the current time"),
        ));
    }
    let scope: Vec<&str> = header.credential.split('/').collect();
    let [
        access_key,
        day,
        region,
        service @ ("bedrock" | "bedrock-mantle"),
        "aws4_request",
    ] = scope[..]
    else {
        return Err(incomplete(
            "the credential scope is not DATE/REGION/bedrock/aws4_request",
        ));
    };
    if !date.starts_with(day) || !header.signed_headers.split(';').any(|name| name == "host") {
        return Err(incomplete(
            "the date of the scope differs, or host is not among the signed headers",
        ));
    }
    if access_key != own.access_key_id {
        let form =
            header.signature.len() == 64 && header.signature.bytes().all(|b| b.is_ascii_hexdigit());
        return if form {
            Ok(())
        } else {
            Err(incomplete("the signature is not 64 hexadecimal digits"))
        };
    }
    let expected = signature(
        own,
        &header,
        (region, service),
        time,
        method,
        uri,
        headers,
        body,
    )
    .ok_or_else(|| incomplete("the request cannot be signed"))?;
    if expected == header.signature {
        return Ok(());
    }
    Err(rejection(
        "InvalidSignatureException",
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.",
    ))
}

/// The parts of the header `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`.
struct SignatureHeader<'a> {
    credential: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> SignatureHeader<'a> {
    fn parse(authorization: &'a str) -> Option<Self> {
        let parts = authorization.strip_prefix("AWS4-HMAC-SHA256 ")?;
        let find = |name: &str| {
            parts
                .split(',')
                .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
        };
        Some(Self {
            credential: find("Credential")?,
            signed_headers: find("SignedHeaders")?,
            signature: find("Signature")?,
        })
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "all of a request takes part in its signature"
)]
fn signature(
    own: &SecretKey,
    header: &SignatureHeader<'_>,
    (region, service): (&str, &str),
    time: SystemTime,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Option<String> {
    let identity = Credentials::new(
        &own.access_key_id,
        &own.secret_access_key,
        None,
        None,
        "simulator",
    )
    .into();
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
    settings.session_token_mode = SessionTokenMode::Include;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Enabled;
    settings.excluded_headers = Some(Vec::new());
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(time)
        .settings(settings)
        .build()
        .ok()?
        .into();
    let host = headers.get("host")?.to_str().ok()?;
    let url = format!("http://{host}{}", uri.path_and_query()?);
    // The signer adds the date itself.
    let names = header
        .signed_headers
        .split(';')
        .filter(|name| *name != "x-amz-date");
    let signed: Vec<(&str, &str)> = names
        .flat_map(|name| {
            headers
                .get_all(name)
                .iter()
                .filter_map(move |value| Some((name, value.to_str().ok()?)))
        })
        .collect();
    let request = SignableRequest::new(
        method.as_str(),
        url,
        signed.into_iter(),
        SignableBody::Bytes(body),
    )
    .ok()?;
    Some(sign(request, &params).ok()?.signature().to_owned())
}

/// `20261122T130000Z`
fn parse_date(date: &str) -> Option<SystemTime> {
    let part = |range: std::ops::Range<usize>| date.get(range);
    let iso = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0..4)?,
        part(4..6)?,
        part(6..8)?,
        part(9..11)?,
        part(11..13)?,
        part(13..15)?
    );
    SystemTime::try_from(DateTime::from_str(&iso, Format::DateTime).ok()?).ok()
}

fn rejection(name: &'static str, message: impl Into<String>) -> ServiceError {
    ServiceError {
        name,
        status: 403,
        message: message.into(),
    }
}

fn incomplete(message: &str) -> ServiceError {
    rejection("IncompleteSignatureException", message)
}
