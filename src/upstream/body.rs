//! Bodies of replies.

use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};

use super::failure;
use crate::error::Error;

/// Reads the whole body of a reply, up to `max` bytes.
///
/// # Errors
/// If the body is longer than `max`, or the connection fails.
pub async fn collected(body: SdkBody, max: usize) -> Result<Bytes, Error> {
    match Limited::new(body, max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(failure::truncated(error.to_string())),
    }
}
