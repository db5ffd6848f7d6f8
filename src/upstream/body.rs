//! Bodies of replies.

use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::failure;
use crate::error::Error;

/// Reads the whole body of a reply, up to `max` bytes.
///
/// # Errors
/// If the body is longer than `max`, or the connection fails.
pub async fn collected(body: SdkBody, max: usize) -> Result<Bytes, Error> {
    match Limited::new(body, max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(failure::too_large(max)),
        Err(error) => Err(failure::truncated(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::RetryAdvice;

    /// It was requested three times, and said that the connection broke.
    #[tokio::test]
    async fn reply_that_is_too_large_is_not_requested_again() {
        let error = collected(SdkBody::from("four"), 3).await.unwrap_err();
        assert_eq!(error.code(), Some("upstream_too_large"));
        assert_eq!(error.retry_advice(), RetryAdvice::Never);
        assert!(error.is_perhaps_billed());
        assert_eq!(collected(SdkBody::from("four"), 4).await.unwrap(), "four");
    }
}
