//! The error envelope, <https://platform.claude.com/docs/en/api/errors>.

use serde::Serialize;

/// The body of an error response, and the data of an error event.
#[derive(Debug, Serialize)]
pub struct ErrorEnvelope<'a> {
    /// Always `error`.
    pub r#type: &'static str,
    pub error: ErrorBody<'a>,
    /// Absent in the event of a stream whose first event is the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<&'a str>,
}

/// The error.
#[derive(Debug, Serialize)]
pub struct ErrorBody<'a> {
    pub r#type: &'a str,
    pub message: &'a str,
}
