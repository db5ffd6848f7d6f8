//! The body of a request: read within its limits, and parsed as JSON.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use super::Limits;
use crate::{
    call::Warnings,
    error::{Error, Kind},
    money::NanoUsd,
    openai::object::Object,
};

/// A client that sends more slowly than this, after `body_timeout`, occupies a place for nothing.
const MIN_BYTES_PER_SECOND: u64 = 8 * 1024;

/// How many unknown members are named before the rest is only counted.
const MAX_UNKNOWN_NAMED: usize = 8;

/// Now, in Unix seconds.
pub fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs())
}

/// Parses a JSON object. Members that are not known become warnings.
///
/// # Errors
/// 400 with the field, or the place in the text.
pub fn parse<'de, T: Deserialize<'de>>(bytes: &'de [u8], warnings: &Warnings) -> Result<T, Error> {
    // Some editors and languages put a byte order mark before UTF-8.
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut unknown = Vec::new();
    let mut more = 0;
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_ignored::deserialize(&mut json, |path| {
        if unknown.len() < MAX_UNKNOWN_NAMED {
            // serde_ignored marks every optional member on the way.
            let path = path.to_string().replace(".?", "");
            unknown.push(path.chars().take(80).collect::<String>());
        } else {
            more += 1;
        }
    });
    let parsed = parsed.and_then(|request| json.end().map(|()| request));
    let Object(request): Object<T> = parsed.map_err(|_| explain::<T>(bytes))?;
    for path in unknown {
        warnings.dropped(path, "unknown to this gateway");
    }
    if more > 0 {
        warnings.add(format!("{more} more unknown members were ignored"));
    }
    Ok(request)
}

/// Checks that a number is within its range.
///
/// # Errors
/// 400 with the member's name.
pub fn within(param: &'static str, value: Option<f64>, min: f64, max: f64) -> Result<(), Error> {
    match value {
        Some(value) if !(min..=max).contains(&value) => Err(Error::invalid(
            param,
            format!("'{param}' must be between {min} and {max}."),
        )),
        _ => Ok(()),
    }
}

/// Reads `max_cost_usd`, exactly.
///
/// # Errors
/// 400 if it is not a plain decimal number.
pub fn max_cost(text: Option<&RawValue>) -> Result<Option<NanoUsd>, Error> {
    let parse = |text: &RawValue| NanoUsd::parse(text.get());
    text.map(|text| {
        parse(text).ok_or_else(|| {
            let text =
                "'max_cost_usd' must be a number of US dollars with nine decimal places at most.";
            Error::invalid("max_cost_usd", text)
        })
    })
    .transpose()
}

/// Why a body did not parse. Only now the path is worth its cost.
fn explain<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Error {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let (path, error) = match serde_path_to_error::deserialize::<_, Object<T>>(&mut json) {
        Ok(_) => (String::new(), json.end().err()),
        Err(error) => (error.path().to_string(), Some(error.into_inner())),
    };
    let text = error
        .as_ref()
        .map_or_else(String::new, |error| plain(&error.to_string()));
    // serde quotes what it found, which may be text of the conversation.
    let place = error
        .as_ref()
        .map_or((0, 0), |error| (error.line(), error.column()));
    let logged = format!(
        "the body was refused at line {} column {}",
        place.0, place.1
    );
    let is_data = error.as_ref().is_some_and(serde_json::Error::is_data);
    if !is_data {
        let at = error.map_or(0, |error| offset(bytes, error.line(), error.column()));
        return Error::new(
            Kind::InvalidRequest,
            format!("The body is not valid JSON: {text} (byte {at})."),
        )
        .with_code("invalid_json")
        .logged_as(logged);
    }
    let missing = text
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split('`').next());
    let duplicate = text
        .strip_prefix("duplicate field `")
        .and_then(|rest| rest.split('`').next());
    let member = missing.or(duplicate);
    let param = match (path.as_str(), member) {
        ("." | "", Some(member)) => member.to_owned(),
        (path, Some(member)) if !path.ends_with(member) => format!("{path}.{member}"),
        ("." | "", None) => "body".to_owned(),
        (path, _) => path.to_owned(),
    };
    let code = if missing.is_some() {
        "missing_required_parameter"
    } else {
        "invalid_type"
    };
    Error::invalid(
        param.clone(),
        format!("'{param}' is not acceptable: {text}."),
    )
    .with_code(code)
    .logged_as(format!("'{param}': {logged}"))
}

/// serde's words for Rust's types, in words for everybody.
fn plain(text: &str) -> String {
    const WORDS: [(&str, &str); 5] = [
        ("f64", "a number"),
        ("u32", "a whole number from 0 to 4294967295"),
        ("i64", "a whole number"),
        ("a sequence", "a list"),
        ("unknown variant", "unknown value"),
    ];
    let text: String = text.chars().take(300).collect();
    let text = WORDS
        .iter()
        .fold(text, |text, (theirs, ours)| text.replace(theirs, ours));
    // `struct MediaUrl` is an object.
    match text.split_once("struct ") {
        Some((before, rest)) => format!(
            "{before}an object{}",
            rest.trim_start_matches(|c: char| c.is_alphanumeric())
        ),
        None => text,
    }
}

/// serde_json tells line and column, both from 1.
fn offset(bytes: &[u8], line: usize, column: usize) -> usize {
    let before: usize = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .take(line.saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    (before + column.saturating_sub(1)).min(bytes.len())
}

/// Rejects what the headers already show to be unacceptable.
///
/// # Errors
/// 400, 413 or 415.
pub fn check_headers(headers: &HeaderMap, max_body: usize) -> Result<(), Error> {
    let text = |name| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default())
    };
    // Without a type, a body that is valid JSON is taken for what it is.
    if let Some(content_type) = text(header::CONTENT_TYPE) {
        let essence = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        if essence != "application/json"
            && !(essence.starts_with("application/") && essence.ends_with("+json"))
        {
            return Err(Error::new(
                Kind::UnsupportedMediaType,
                "The body must be JSON: send 'content-type: application/json'.",
            )
            .with_code("unsupported_media_type")
            .closing());
        }
    }
    if text(header::CONTENT_ENCODING)
        .is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity"))
    {
        return Err(Error::new(
            Kind::UnsupportedMediaType,
            "A compressed body is not accepted: send it without content-encoding.",
        )
        .with_code("unsupported_content_encoding")
        .closing());
    }
    if headers.get_all(header::HOST).iter().count() > 1 {
        return Err(Error::new(Kind::InvalidRequest, "Send one host header.")
            .with_code("ambiguous_host")
            .closing());
    }
    // Two ways to say where the body ends are one too many.
    if headers.contains_key(header::CONTENT_LENGTH)
        && headers.contains_key(header::TRANSFER_ENCODING)
    {
        return Err(Error::new(
            Kind::InvalidRequest,
            "Send content-length or transfer-encoding, not both.",
        )
        .with_code("ambiguous_length")
        .closing());
    }
    let declared = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if declared.is_some_and(|length| length > max_body as u64) {
        return Err(too_large(max_body));
    }
    Ok(())
}

/// Reads at most `max_body` bytes.
///
/// # Errors
/// 400, 408 or 413.
pub async fn read(mut body: Body, limits: Limits) -> Result<Bytes, Error> {
    let began = Instant::now();
    let mut first: Option<Bytes> = None;
    let mut joined = BytesMut::new();
    let mut received = 0usize;
    loop {
        let earned = Duration::from_secs(received as u64 / MIN_BYTES_PER_SECOND);
        let frame = match timeout_at(began + limits.body_timeout + earned, body.frame()).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                return Err(Error::new(
                    Kind::InvalidRequest,
                    "The body is incomplete, or its transfer encoding is broken.",
                )
                .with_code("incomplete_body")
                .with_detail(error.to_string())
                .closing());
            }
            Err(_) => {
                return Err(
                    Error::new(Kind::RequestTimeout, "The body came too slowly.")
                        .with_code("request_timeout")
                        .closing(),
                );
            }
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        received += data.len();
        if received > limits.max_body {
            return Err(too_large(limits.max_body));
        }
        match &first {
            None => first = Some(data),
            Some(head) => {
                if joined.is_empty() {
                    joined.extend_from_slice(head);
                }
                joined.extend_from_slice(&data);
            }
        }
    }
    Ok(if joined.is_empty() {
        first.unwrap_or_default()
    } else {
        joined.freeze()
    })
}

fn too_large(max_body: usize) -> Error {
    Error::new(
        Kind::TooLarge,
        format!("The body is larger than the {max_body} bytes that this gateway accepts."),
    )
    .with_code("request_too_large")
    .closing()
}
