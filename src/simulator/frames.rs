//! Encodes `application/vnd.amazon.eventstream`. Shares nothing with the gateway's reader, and is itself judged by boto3.

use bytes::{BufMut, Bytes, BytesMut};

/// A header value of type string.
const STRING: u8 = 7;

/// An event of the given type.
pub fn encode_event(event_type: &str, payload: &str) -> Bytes {
    let headers = [
        (":event-type", event_type),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    encode_frame(&headers, payload.as_bytes())
}

/// An exception event, such as `throttlingException`.
pub fn encode_exception(exception_type: &str, payload: &str) -> Bytes {
    let headers = [
        (":exception-type", exception_type),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ];
    encode_frame(&headers, payload.as_bytes())
}

/// Prelude (total length, header length, CRC), headers, payload, CRC of all that. Headers of more than 64 KiB do not occur.
pub fn encode_frame(headers: &[(&str, &str)], payload: &[u8]) -> Bytes {
    let mut block = BytesMut::new();
    for (name, value) in headers {
        block.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
        block.put_slice(name.as_bytes());
        block.put_u8(STRING);
        block.put_u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
        block.put_slice(value.as_bytes());
    }
    let length = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let mut frame = BytesMut::with_capacity(16 + block.len() + payload.len());
    frame.put_u32(length(16 + block.len() + payload.len()));
    frame.put_u32(length(block.len()));
    let crc = crc32fast::hash(&frame);
    frame.put_u32(crc);
    frame.put_slice(&block);
    frame.put_slice(payload);
    let crc = crc32fast::hash(&frame);
    frame.put_u32(crc);
    frame.freeze()
}
