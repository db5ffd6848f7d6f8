//! `application/vnd.amazon.eventstream`: bytes into frames.

use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::event_stream::{Header, Message};
use bytes::{Bytes, BytesMut};

/// Length of the prelude: total length, header length, CRC of both.
const PRELUDE: usize = 12;
/// The least that a frame can be: prelude and message CRC.
const MIN_FRAME: usize = 16;
/// The protocol's own caps.
const MAX_FRAME: usize = 24 << 20;
const MAX_HEADERS: usize = 128 << 10;

/// One frame, by its `:message-type`.
#[derive(Debug, PartialEq)]
pub enum Frame {
    Event { event_type: String, payload: Bytes },
    Exception { exception_type: String, payload: Bytes },
    Error { code: String, message: String },
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a frame's declared length is out of bounds")]
    Length,
    #[error("a checksum does not match")]
    Checksum,
    #[error("a frame's headers cannot be read")]
    Malformed,
}

/// Cuts a byte stream into frames. The prelude is checked, CRC included, before anything is buffered on its word.
#[derive(Debug, Default)]
pub struct FrameReader {
    pending: Bytes,
}

impl FrameReader {
    /// More bytes from the wire.
    pub fn push(&mut self, data: Bytes) {
        if self.pending.is_empty() {
            self.pending = data;
        } else {
            let mut joined = BytesMut::from(std::mem::take(&mut self.pending));
            joined.extend_from_slice(&data);
            self.pending = joined.freeze();
        }
    }

    /// Bytes that are not a whole frame yet.
    pub fn has_leftover(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The next whole frame; `None` when more bytes are needed.
    ///
    /// # Errors
    /// If the bytes cannot be a frame. There is no way to find the next one then.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(prelude) = self.pending.first_chunk::<PRELUDE>() else { return Ok(None) };
        let word = |at: usize| u32::from_be_bytes([prelude[at], prelude[at + 1], prelude[at + 2], prelude[at + 3]]);
        let (total, headers) = (word(0) as usize, word(4) as usize);
        if crc32fast::hash(&prelude[..8]) != word(8) {
            return Err(FrameError::Checksum);
        }
        if !(MIN_FRAME..=MAX_FRAME).contains(&total) || headers > MAX_HEADERS || headers + MIN_FRAME > total {
            return Err(FrameError::Length);
        }
        if self.pending.len() < total {
            return Ok(None);
        }
        let message = read_message_from(self.pending.split_to(total)).map_err(|error| {
            // The decoder's error kinds are private; its texts are not.
            if error.to_string().contains("checksum") { FrameError::Checksum } else { FrameError::Malformed }
        })?;
        Ok(Some(frame(&message)))
    }
}

fn frame(message: &Message) -> Frame {
    let payload = message.payload().clone();
    match header(message, ":message-type") {
        Some("exception") => Frame::Exception {
            exception_type: header(message, ":exception-type").unwrap_or_default().to_owned(),
            payload,
        },
        Some("error") => Frame::Error {
            code: header(message, ":error-code").unwrap_or_default().to_owned(),
            message: header(message, ":error-message").unwrap_or_default().to_owned(),
        },
        _ => Frame::Event { event_type: header(message, ":event-type").unwrap_or_default().to_owned(), payload },
    }
}

fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    let header = message.headers().iter().find(|header: &&Header| header.name().as_str() == name)?;
    header.value().as_string().ok().map(|text| text.as_str())
}
