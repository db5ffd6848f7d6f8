//! Writes the event that ends a failed stream.

use bytes::Bytes;
use serde_json::json;

use crate::upstream::encode_frame;

/// Returns the frame of the exception `name`, such as `ThrottlingException`.
pub fn exception(name: &str, message: &str) -> Bytes {
    let payload = json!({"message": message}).to_string();
    let headers = [
        (":exception-type", &*in_lower_camel_case(name)),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ];
    encode_frame(&headers, payload.as_bytes())
}

/// The service model names the members of event streams in lower camel case.
fn in_lower_camel_case(name: &str) -> String {
    let mut chars = name.chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{Frame, FrameReader};

    #[test]
    fn frame_can_be_read() {
        let mut frames = FrameReader::default();
        frames.push(exception("ThrottlingException", "Slow down. ü"));
        let expected = Frame::Exception {
            exception_type: "throttlingException".to_owned(),
            payload: json!({"message": "Slow down. ü"}).to_string().into(),
        };
        assert_eq!(frames.next_frame(), Ok(Some(expected)));
        assert!(!frames.has_leftover());
    }
}
