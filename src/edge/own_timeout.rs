//! The time limit that a request sets for itself: the header `x-lintel-timeout`, or the member `timeout`.

use std::time::Duration;

use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{error::Error, openai::json_text};

/// The header. Takes precedence over the member, so that a proxy can shorten what a client sets.
const HEADER: &str = "x-lintel-timeout";

/// The member of the body.
const MEMBER: &str = "timeout";

/// The members of a body that are read here. The dialects have read the rest.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    timeout: Option<&'a RawValue>,
}

/// Returns the time limit of a request, which may shorten those of its model. `body` is JSON that was parsed before, or
/// `None` if it can have no such member.
///
/// # Errors
/// 400 if it is not a positive number of seconds.
pub fn of(headers: &HeaderMap, body: Option<&[u8]>) -> Result<Option<Duration>, Error> {
    if let Some(value) = headers.get(HEADER) {
        let text = value.to_str().unwrap_or_default();
        return seconds(text, HEADER).map(Some);
    }
    // Few requests have the member, and others need not be read again.
    let text = body.and_then(|body| std::str::from_utf8(body).ok());
    let Some(text) = text.filter(|text| json_text::contains(text, r#""timeout""#)) else {
        return Ok(None);
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // The body was parsed before, so this can only be wrong.
    let members = serde_json::from_str::<Body<'_>>(text)
        .map_err(|_| Error::invalid(MEMBER, "'timeout' is given twice."))?;
    let value = members.timeout;
    value.map(|value| seconds(value.get(), MEMBER)).transpose()
}

/// Parses a positive number of seconds.
fn seconds(text: &str, param: &'static str) -> Result<Duration, Error> {
    let number = text.trim().parse::<f64>().ok().filter(|n| *n > 0.0);
    number
        .and_then(|number| Duration::try_from_secs_f64(number).ok())
        .filter(|limit| !limit.is_zero())
        .ok_or_else(|| {
            let text = format!("'{param}' must be a positive number of seconds.");
            Error::invalid(param, text)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: Option<&str>, body: &str) -> Result<Option<Duration>, String> {
        let headers = header.map(|value| (HEADER.parse().unwrap(), value.parse().unwrap()));
        of(&headers.into_iter().collect(), Some(body.as_bytes()))
            .map_err(|error| error.param().unwrap_or_default().to_owned())
    }

    #[test]
    fn header_takes_precedence_over_the_member() {
        let second = Duration::from_secs(1);
        for (header, body, expected) in [
            (None, "{}", None),
            (None, r#"{"timeout": null}"#, None),
            (None, r#"{"timeout": 1}"#, Some(second)),
            (None, r#"{"timeout": 0.5}"#, Some(second / 2)),
            (None, r#"{"time\u006fut": 1}"#, Some(second)),
            (Some("2"), r#"{"timeout": 1}"#, Some(2 * second)),
            (Some("2.5"), "{}", Some(second * 5 / 2)),
            (None, r#"{"messages": [{"timeout": 7}]}"#, None),
            (None, r#"{"a": "\"timeout\""}"#, None),
        ] {
            assert_eq!(read(header, body), Ok(expected), "{header:?} {body}");
        }
    }

    #[test]
    fn anything_but_a_positive_number_of_seconds_is_an_error() {
        for value in ["0", "-1", "1e400", "\"1\"", "true", "[]", "{}", "NaN"] {
            let body = format!("{{\"timeout\": {value}}}");
            // What is no JSON was rejected before.
            if value != "NaN" {
                assert_eq!(read(None, &body), Err(MEMBER.to_owned()), "{value}");
            }
            assert_eq!(read(Some(value), "{}"), Err(HEADER.to_owned()), "{value}");
        }
        assert_eq!(read(Some(""), "{}"), Err(HEADER.to_owned()));
        for twice in [
            r#"{"timeout": 1, "timeout": 1}"#,
            r#"{"timeout": null, "timeout": 1}"#,
        ] {
            assert_eq!(read(None, twice), Err(MEMBER.to_owned()), "{twice}");
        }
    }
}
