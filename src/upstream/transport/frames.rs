//! `application/vnd.amazon.eventstream`: bytes into frames.
//!
//! Read by hand rather than with the SDK's decoder, which copies every header into memory of its own: in a burst of
//! events that was a fifth of all CPU time.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

/// Length of the prelude: total length, header length, CRC of both.
const PRELUDE: usize = 12;
/// The CRC at the end of a frame, of all before it.
const CRC: usize = 4;
/// The protocol's own caps.
const MAX_FRAME: usize = 24 << 20;
const MAX_HEADERS: usize = 128 << 10;

/// One frame, by its `:message-type`.
#[derive(Debug, PartialEq)]
pub enum Frame {
    Event {
        event_type: EventType,
        payload: Bytes,
    },
    Exception {
        exception_type: String,
        payload: Bytes,
    },
    Error {
        code: String,
        message: String,
    },
}

/// `:event-type`; borrowed for those that every stream is full of.
pub type EventType = Cow<'static, str>;

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
        let Some(prelude) = self.pending.first_chunk::<PRELUDE>() else {
            return Ok(None);
        };
        let word = |at: usize| {
            u32::from_be_bytes([
                prelude[at],
                prelude[at + 1],
                prelude[at + 2],
                prelude[at + 3],
            ])
        };
        let (total, headers) = (word(0) as usize, word(4) as usize);
        if crc32fast::hash(&prelude[..8]) != word(8) {
            return Err(FrameError::Checksum);
        }
        if !(PRELUDE + CRC..=MAX_FRAME).contains(&total)
            || headers > MAX_HEADERS
            || PRELUDE + headers + CRC > total
        {
            return Err(FrameError::Length);
        }
        if self.pending.len() < total {
            return Ok(None);
        }
        let frame = self.pending.split_to(total);
        let (checked, crc) = frame.split_at(total - CRC);
        if crc32fast::hash(checked).to_be_bytes() != crc {
            return Err(FrameError::Checksum);
        }
        let found =
            Headers::read(&frame[PRELUDE..PRELUDE + headers]).ok_or(FrameError::Malformed)?;
        Ok(Some(
            found.frame(frame.slice(PRELUDE + headers..total - CRC)),
        ))
    }
}

/// The headers that matter; those that are missing are empty.
#[derive(Default)]
struct Headers<'a> {
    message_type: &'a str,
    event_type: &'a str,
    exception_type: &'a str,
    error_code: &'a str,
    error_message: &'a str,
}

impl<'a> Headers<'a> {
    fn read(mut block: &'a [u8]) -> Option<Self> {
        let mut headers = Self::default();
        while !block.is_empty() {
            let name = prefixed(&mut block, 1)?;
            let kind = take(&mut block, 1)?[0];
            let value = match kind {
                // true, false; byte, short, integer, long; bytes, string; timestamp, UUID.
                0 | 1 => take(&mut block, 0)?,
                2 => take(&mut block, 1)?,
                3 => take(&mut block, 2)?,
                4 => take(&mut block, 4)?,
                5 | 8 => take(&mut block, 8)?,
                6 | 7 => prefixed(&mut block, 2)?,
                9 => take(&mut block, 16)?,
                _ => return None,
            };
            let slot = match name {
                b":message-type" => &mut headers.message_type,
                b":event-type" => &mut headers.event_type,
                b":exception-type" => &mut headers.exception_type,
                b":error-code" => &mut headers.error_code,
                b":error-message" => &mut headers.error_message,
                _ => continue,
            };
            *slot = std::str::from_utf8(value).ok().filter(|_| kind == 7)?;
        }
        Some(headers)
    }

    fn frame(self, payload: Bytes) -> Frame {
        match self.message_type {
            "exception" => Frame::Exception {
                exception_type: self.exception_type.to_owned(),
                payload,
            },
            "error" => Frame::Error {
                code: self.error_code.to_owned(),
                message: self.error_message.to_owned(),
            },
            _ => Frame::Event {
                event_type: event_type(self.event_type),
                payload,
            },
        }
    }
}

fn event_type(name: &str) -> EventType {
    const KNOWN: [&str; 6] = [
        "contentBlockDelta",
        "contentBlockStart",
        "contentBlockStop",
        "messageStart",
        "messageStop",
        "metadata",
    ];
    KNOWN
        .into_iter()
        .find(|known| *known == name)
        .map_or_else(|| Cow::Owned(name.to_owned()), Cow::Borrowed)
}

fn take<'a>(block: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = block.split_at_checked(count)?;
    *block = rest;
    Some(taken)
}

/// A length of `width` bytes, then as many bytes.
fn prefixed<'a>(block: &mut &'a [u8], width: usize) -> Option<&'a [u8]> {
    let length = take(block, width)?
        .iter()
        .fold(0, |length, byte| length << 8 | usize::from(*byte));
    take(block, length)
}
