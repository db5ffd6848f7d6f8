//! Errors in the words of Bedrock's service model. AWS SDKs repeat a request by the name and the status of its error.

use std::borrow::Cow;

use axum::http::StatusCode;

use crate::error::{Error, Kind};

/// Returns the name and the status of an error.
pub fn name_and_status(error: &Error) -> (&'static str, StatusCode) {
    match error.code() {
        Some("model_error") => return ("ModelErrorException", StatusCode::FAILED_DEPENDENCY),
        Some("model_not_ready") => {
            return ("ModelNotReadyException", StatusCode::TOO_MANY_REQUESTS);
        }
        // The gateway's own access. It does not come back by repeating the request.
        Some("upstream_access_denied") => return ("AccessDeniedException", StatusCode::FORBIDDEN),
        Some("model_end_of_life") => return ("ResourceNotFoundException", StatusCode::NOT_FOUND),
        _ => {}
    }
    match error.kind() {
        // The request exceeds a limit by itself, whenever it is sent.
        Kind::RateLimited if error.should_retry() == Some(false) => {
            ("ValidationException", StatusCode::BAD_REQUEST)
        }
        Kind::InvalidRequest => ("ValidationException", StatusCode::BAD_REQUEST),
        Kind::MethodNotAllowed => ("ValidationException", StatusCode::METHOD_NOT_ALLOWED),
        Kind::TooLarge => ("ValidationException", StatusCode::PAYLOAD_TOO_LARGE),
        Kind::HeadTooLarge => (
            "ValidationException",
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        ),
        Kind::UnsupportedMediaType => ("ValidationException", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        Kind::RequestTimeout => ("ValidationException", StatusCode::REQUEST_TIMEOUT),
        Kind::Unauthenticated => ("UnrecognizedClientException", StatusCode::FORBIDDEN),
        Kind::PermissionDenied => ("AccessDeniedException", StatusCode::FORBIDDEN),
        Kind::NotFound => ("ResourceNotFoundException", StatusCode::NOT_FOUND),
        Kind::Conflict => ("ConflictException", StatusCode::BAD_REQUEST),
        // SDKs do not repeat it, because the budget stays spent.
        Kind::BudgetSpent | Kind::UpstreamQuota => {
            ("ServiceQuotaExceededException", StatusCode::BAD_REQUEST)
        }
        Kind::RateLimited | Kind::BudgetBusy | Kind::UpstreamThrottle => {
            ("ThrottlingException", StatusCode::TOO_MANY_REQUESTS)
        }
        Kind::UpstreamUnavailable | Kind::Overloaded | Kind::LedgerUnavailable => (
            "ServiceUnavailableException",
            StatusCode::SERVICE_UNAVAILABLE,
        ),
        Kind::UpstreamTimeout => ("ModelTimeoutException", StatusCode::REQUEST_TIMEOUT),
        Kind::Upstream | Kind::Internal => {
            ("InternalServerException", StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// Returns the name of an error inside a stream, whose service model has few exceptions.
pub fn in_stream(error: &Error, is_invoke: bool) -> &'static str {
    match name_and_status(error).0 {
        "ModelTimeoutException" if is_invoke => "ModelTimeoutException",
        "ModelErrorException" | "ModelTimeoutException" => "ModelStreamErrorException",
        name @ ("ThrottlingException" | "ServiceUnavailableException" | "ValidationException") => {
            name
        }
        "ServiceQuotaExceededException" => "ThrottlingException",
        "ModelNotReadyException" => "ServiceUnavailableException",
        "AccessDeniedException" | "ResourceNotFoundException" | "ConflictException" => {
            "ValidationException"
        }
        _ => "InternalServerException",
    }
}

/// Returns the message of an error, with the member that it is about. The form of AWS has no other place for that.
pub fn message(error: &Error) -> Cow<'_, str> {
    match error.param() {
        Some(param) if !error.message().contains(param) => {
            format!("{param}: {}", error.message()).into()
        }
        _ => error.message().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_inside_a_stream_are_those_of_its_service_model() {
        let error = |code| Error::new(Kind::Upstream, "x").with_code(code);
        let timeout = Error::new(Kind::UpstreamTimeout, "x");
        for (error, is_invoke, name) in [
            (&error("model_error"), false, "ModelStreamErrorException"),
            (
                &error("upstream_truncated"),
                false,
                "InternalServerException",
            ),
            (&timeout, false, "ModelStreamErrorException"),
            (&timeout, true, "ModelTimeoutException"),
        ] {
            assert_eq!(in_stream(error, is_invoke), name);
        }
    }

    #[test]
    fn message_names_its_member() {
        let error = Error::invalid("system[0].text", "It is too long.");
        assert_eq!(message(&error), "system[0].text: It is too long.");
        let error = Error::invalid("model", "The model is unknown.");
        assert_eq!(message(&error), "The model is unknown.");
    }
}
