//! Errors in OpenAI's form, as bedrock-runtime and bedrock-mantle write them.

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::{
    bedrock::reply::ErrorReply,
    error::{Error, Kind, RetryAdvice},
    upstream::failure,
};

/// OpenAI's error codes that clients know.
const CODES: [&str; 6] = [
    "context_length_exceeded",
    "content_policy_violation",
    "invalid_value",
    "unsupported_parameter",
    "unsupported_value",
    "missing_required_parameter",
];

/// The code of an error that says that the endpoint does not serve the model. Another endpoint may.
pub const NOT_ON_THIS_ROUTE: &str = "route_not_supported";

/// The member `error` of a reply or of an event.
#[derive(Debug, Default)]
pub struct NativeError {
    message: String,
    /// `type`.
    kind: String,
    code: String,
    param: Option<String>,
}

impl NativeError {
    /// Reads a body with a member `error`: an object, or a bare string.
    pub fn read(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        Self::of(body.get("error")?)
    }

    /// Reads the member `error`.
    pub fn of(error: &Value) -> Option<Self> {
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        let own = match error {
            Value::Null => return None,
            Value::String(message) => Self {
                message: message.clone(),
                ..Self::default()
            },
            error => Self {
                message: text("message"),
                kind: text("type"),
                // Some servers send a status as a number.
                code: text("code"),
                param: error["param"].as_str().map(str::to_owned),
            },
        };
        // The message can be the JSON text of the model server's own error. It is unwrapped once.
        let inner: Option<Value> = serde_json::from_str(&own.message).ok();
        let Some(inner) = inner.filter(Value::is_object) else {
            return Some(own);
        };
        let inner = inner.get("error").unwrap_or(&inner);
        let text = |name: &str, outer: String| match inner[name].as_str() {
            Some(text) => text.to_owned(),
            None => outer,
        };
        Some(Self {
            param: inner["param"].as_str().map(str::to_owned).or(own.param),
            kind: text("type", own.kind),
            code: text("code", own.code),
            message: text("message", own.message),
        })
    }

    /// Returns the error for the client of an error in a reply or an event, which has no status.
    pub fn into_event_error(self) -> Error {
        self.into_error(None, &HeaderMap::new())
    }

    /// Returns the error for the client. `status` is `None` for an event of a stream.
    pub fn into_error(self, status: Option<StatusCode>, headers: &HeaderMap) -> Error {
        let request_id = headers.get("x-amzn-requestid");
        let request_id = request_id.and_then(|id| id.to_str().ok()).unwrap_or("none");
        let shown = status.map_or_else(|| "event".to_owned(), |status| status.to_string());
        let detail = format!(
            "{} {} ({shown}, AWS request id {request_id}): {}",
            self.kind, self.code, self.message
        );
        self.error(status).with_detail(detail)
    }

    fn error(self, status: Option<StatusCode>) -> Error {
        let lower = self.message.to_ascii_lowercase();
        let says = |text: &str| lower.contains(text);
        let is = |name: &str| self.kind == name || self.code == name;
        let reply = ErrorReply {
            message: Some(self.message.clone()),
            ..ErrorReply::default()
        };
        if failure::is_wrong_route(&lower) {
            return Error::new(
                Kind::NotFound,
                "Bedrock does not serve this model on the endpoint that is configured for it. Contact the gateway's operator.",
            )
            .with_code(NOT_ON_THIS_ROUTE)
            .with_param("model")
            .with_wrong_route();
        }
        if says("data retention mode") {
            return Error::new(
                Kind::PermissionDenied,
                "The data retention of the AWS account behind this gateway does not allow this model. Contact the gateway's operator.",
            )
            .with_code("data_retention");
        }
        // bedrock-mantle reports some of its own failures as 400, and an overload as 529.
        let status = match status.map(|status| status.as_u16()) {
            Some(400) if says("internal server error") => Some(500),
            Some(529) => Some(503),
            None if is("rate_limit_exceeded") || is("rate_limit_error") => Some(429),
            None if is("overloaded_error") || is("service_unavailable") => Some(503),
            None if is("invalid_request_error") || is("validation_error") => Some(400),
            status => status,
        };
        match status {
            status if status == Some(404) || is("model_not_found") || is("not_found_error") => {
                failure::model_not_found(
                    "Bedrock does not have this model in the configured region, or the account has no access to it.",
                )
                .with_wrong_route()
            }
            // The credentials may have expired early, so new ones may work.
            Some(401) => {
                failure::access_denied("this model").with_retry_advice(RetryAdvice::Refreshed)
            }
            Some(403) => failure::access_denied("this model"),
            Some(400 | 413 | 415 | 422) => self.invalid(&reply),
            Some(429) => failure::throttled("this model", &reply),
            Some(503) => failure::unavailable(&reply),
            // Not that of an unknown status, because output may have been billed.
            None => failure::from_name("", None, &reply),
            Some(status) => failure::from_name("", StatusCode::from_u16(status).ok(), &reply),
        }
    }

    fn invalid(self, reply: &ErrorReply) -> Error {
        let error = failure::validation(reply);
        let known = CODES.iter().find(|code| **code == self.code);
        let error = match known {
            Some(code) => error.with_code(code),
            None => error,
        };
        match self.param {
            Some(param) => error.with_param(param),
            None => error,
        }
    }
}

/// Returns the error for a reply without an answer. An unknown path is a 200 too, and is not billed.
pub fn malformed(what: &dyn std::fmt::Debug, data: &[u8]) -> Error {
    let unknown = b"UnknownOperationException";
    let is_unknown = data.len() < 4096 && data.windows(unknown.len()).any(|part| part == unknown);
    if is_unknown {
        return Error::new(
            Kind::Upstream,
            "Bedrock does not have the endpoint that is configured for this model. Contact the gateway's operator.",
        )
        .with_code("upstream_malformed")
        .with_detail("UnknownOperationException in a 200")
        .without_retry();
    }
    Error::new(
        Kind::Upstream,
        "Bedrock sent a reply that could not be parsed.",
    )
    .with_code("upstream_malformed")
    // Excludes the data, because they contain text of the model.
    .with_detail(format!("{what:?}, {} bytes", data.len()))
    .may_be_billed()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn error_of_every_form_is_read() {
        let nested =
            json!({"error": {"message": "Bad.", "param": "stop", "code": "unsupported_parameter"}});
        let plain =
            json!({"error": {"message": nested.to_string(), "type": "invalid_request_error"}});
        for (body, status, code, param) in [
            (nested.clone(), 400, "unsupported_parameter", Some("stop")),
            (plain, 400, "unsupported_parameter", Some("stop")),
            (json!({"error": "Bad."}), 400, "invalid_request", None),
            (
                json!({"error": {"message": "Internal server error"}}),
                400,
                "upstream_error",
                None,
            ),
            (
                json!({"error": {"message": "Busy"}}),
                529,
                "upstream_unavailable",
                None,
            ),
            (
                json!({"error": {"message": "x", "code": "model_not_found"}}),
                404,
                "model_not_found",
                Some("model"),
            ),
            (
                json!({"error": {"message": "The model does not support the 'chat' API"}}),
                400,
                NOT_ON_THIS_ROUTE,
                Some("model"),
            ),
            (
                json!({"error": {"message": "The data retention mode 'none' is not available"}}),
                400,
                "data_retention",
                None,
            ),
            (
                json!({"error": {"message": "Signature expired", "code": "invalid_api_key"}}),
                401,
                "upstream_access_denied",
                None,
            ),
        ] {
            let error = NativeError::read(body.to_string().as_bytes()).unwrap();
            let error = error.into_error(StatusCode::from_u16(status).ok(), &HeaderMap::new());
            assert_eq!((error.code(), error.param()), (Some(code), param), "{body}");
        }
    }
}
