//! The error envelope, <https://platform.openai.com/docs/guides/error-codes>.

use serde::Serialize;

/// The body of an error response: `{"error": {…}}`.
#[derive(Debug, Serialize)]
pub struct ErrorEnvelope<'a> {
    pub error: ErrorBody<'a>,
}

/// The error. All four members are always present; `param` and `code` may be null.
#[derive(Debug, Serialize)]
pub struct ErrorBody<'a> {
    pub message: &'a str,
    pub r#type: &'a str,
    pub param: Option<&'a str>,
    pub code: Option<&'a str>,
}
