//! Checks the headers of a request, and parses its body as JSON.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{shape, unknown_members::UnknownMembers};
use crate::{
    call::Warnings,
    error::{Error, Kind},
    money::NanoUsd,
    openai::{capped, object::Object, objects_only::ObjectsOnly},
};

/// Returns the current time in Unix seconds.
pub fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs())
}

/// Parses a JSON object. Adds a warning for each unknown member, except for those of the table in `unknown_members`.
///
/// # Errors
/// 400 with the invalid field, with the byte offset of a syntax error, for too many values, or with an unknown member that
/// would make the answer wrong.
pub fn parse<'de, T: Deserialize<'de>>(bytes: &'de [u8], warnings: &Warnings) -> Result<T, Error> {
    // Some editors and languages prepend a byte order mark to UTF-8.
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    shape::check(bytes)?;
    let mut unknown = UnknownMembers::default();
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_ignored::deserialize(ObjectsOnly(&mut json), |path| unknown.add(&path));
    let parsed = parsed.and_then(|request| json.end().map(|()| request));
    let Object(request): Object<T> = parsed.map_err(|_| explain::<T>(bytes))?;
    unknown.report(bytes, warnings)?;
    Ok(request)
}

/// Checks that `value`, if it is set, is between `min` and `max`.
///
/// # Errors
/// 400 with `param`.
pub fn within(param: &'static str, value: Option<f64>, min: f64, max: f64) -> Result<(), Error> {
    match value {
        Some(value) if !(min..=max).contains(&value) => Err(Error::invalid(
            param,
            format!("'{param}' must be between {min} and {max}."),
        )),
        _ => Ok(()),
    }
}

/// Parses `max_cost_usd` without rounding.
///
/// # Errors
/// 400 if it is not a decimal number with at most nine decimal places.
pub fn max_cost(text: Option<&RawValue>) -> Result<Option<NanoUsd>, Error> {
    let parse = |text: &RawValue| NanoUsd::parse(text.get());
    text.map(|text| {
        parse(text).ok_or_else(|| {
            let text =
                "'max_cost_usd' must be a number of US dollars with at most nine decimal places.";
            Error::invalid("max_cost_usd", text)
        })
    })
    .transpose()
}

/// Builds the error for a body that did not parse. Parses again to find the path of the invalid member, which the first
/// pass does not track because that is slow.
fn explain<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Error {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let (path, error) =
        match serde_path_to_error::deserialize::<_, Object<T>>(ObjectsOnly(&mut json)) {
            Ok(_) => (String::new(), json.end().err()),
            Err(error) => (error.path().to_string(), Some(error.into_inner())),
        };
    let text = error
        .as_ref()
        .map_or_else(String::new, |error| in_json_terms(&error.to_string()));
    // serde's message quotes the value, which may be prompt text and must not be logged.
    let place = error
        .as_ref()
        .map_or((0, 0), |error| (error.line(), error.column()));
    let logged = format!("the body is invalid at line {} column {}", place.0, place.1);
    let is_data = error.as_ref().is_some_and(serde_json::Error::is_data);
    if !is_data {
        let at = error.map_or(0, |error| offset(bytes, error.line(), error.column()));
        return Error::new(
            Kind::InvalidRequest,
            format!("The body is not valid JSON: {text} (byte {at})."),
        )
        .with_code("invalid_json")
        .with_log_message(logged);
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
    if text.starts_with(capped::ERROR) {
        return Error::invalid(param.clone(), format!("'{param}' {text}."))
            .with_log_message(format!("'{param}': {logged}"));
    }
    let code = if missing.is_some() {
        "missing_required_parameter"
    } else {
        "invalid_type"
    };
    Error::invalid(param.clone(), format!("'{param}' is invalid: {text}."))
        .with_code(code)
        .with_log_message(format!("'{param}': {logged}"))
}

/// Replaces serde's names of Rust types by JSON terms.
fn in_json_terms(text: &str) -> String {
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
    // `struct MediaUrl` becomes `an object`.
    match text.split_once("struct ") {
        Some((before, rest)) => format!(
            "{before}an object{}",
            rest.trim_start_matches(|c: char| c.is_alphanumeric())
        ),
        None => text,
    }
}

/// Converts the line and column of a serde_json error, which both start at 1, to a byte offset.
fn offset(bytes: &[u8], line: usize, column: usize) -> usize {
    let before: usize = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .take(line.saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    (before + column.saturating_sub(1)).min(bytes.len())
}

/// The media type of the requests of a dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    Json,
    /// `multipart/form-data`.
    Form,
    /// JSON of any media type: AWS SDKs send `application/octet-stream` unless told otherwise.
    Any,
}

impl Media {
    /// Reports whether requests may have the content type `essence`, in lower case and without parameters.
    fn accepts(self, essence: &str) -> bool {
        match self {
            Self::Json => {
                essence == "application/json"
                    || (essence.starts_with("application/") && essence.ends_with("+json"))
            }
            Self::Form => essence == "multipart/form-data",
            Self::Any => true,
        }
    }

    /// What a client should send.
    fn advice(self) -> &'static str {
        match self {
            Self::Json | Self::Any => {
                "The body must be JSON: send 'content-type: application/json'."
            }
            Self::Form => {
                "The body must be a form with files: send 'content-type: multipart/form-data', with a boundary."
            }
        }
    }
}

/// Checks the headers, so that an invalid request is rejected before its body is read.
///
/// # Errors
/// 413 for a declared length above `max_body`, 415 for a body that is compressed or of another media type.
pub fn check_headers(headers: &HeaderMap, max_body: usize, media: Media) -> Result<(), Error> {
    let text = |name| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default())
    };
    // A missing content type is accepted: the body is parsed anyway.
    if let Some(content_type) = text(header::CONTENT_TYPE) {
        let essence = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        if !media.accepts(&essence) {
            return Err(Error::new(Kind::UnsupportedMediaType, media.advice())
                .with_code("unsupported_media_type"));
        }
    }
    // A list of encodings may also be spread over several headers.
    let mut encodings = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    if encodings.any(|name| !name.trim_ascii().eq_ignore_ascii_case(b"identity")) {
        return Err(Error::new(
            Kind::UnsupportedMediaType,
            "Compressed bodies are not supported. Send the body without 'content-encoding'.",
        )
        .with_code("unsupported_content_encoding"));
    }
    let declared = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if declared.is_some_and(|length| length > max_body as u64) {
        return Err(too_large(max_body));
    }
    Ok(())
}

/// Creates the error for a body above `max_body`.
pub fn too_large(max_body: usize) -> Error {
    Error::new(
        Kind::TooLarge,
        format!("The request body is too large; this gateway accepts at most {max_body} bytes."),
    )
    .with_code("request_too_large")
    .with_connection_close()
}
