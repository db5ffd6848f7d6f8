//! Parses `application/vnd.amazon.eventstream` into frames.
//!
//! The SDK's decoder is not used because it allocates a copy of every header, which took a fifth of all CPU time in
//! bursts of events.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

/// Length of the prelude in bytes: total length, headers length, and the CRC of both.
const PRELUDE: usize = 12;
/// Length in bytes of the CRC that ends a frame and covers everything before it.
const CRC: usize = 4;
/// The protocol's limit on a frame, in bytes.
const MAX_FRAME: usize = 24 << 20;
/// The protocol's limit on the headers of a frame, in bytes.
const MAX_HEADERS: usize = 128 << 10;

/// One frame, by its `:message-type`.
#[derive(Debug, PartialEq)]
pub enum Frame {
    /// `event`.
    Event {
        /// `:event-type`.
        event_type: EventType,
        /// The event, as JSON.
        payload: Bytes,
    },
    /// `exception`: a modeled error of the service.
    Exception {
        /// `:exception-type`.
        exception_type: String,
        /// The error, as JSON.
        payload: Bytes,
    },
    /// `error`: an error outside the service model.
    Error {
        /// `:error-code`.
        code: String,
        /// `:error-message`.
        message: String,
    },
}

/// `:event-type`; borrowed for the known types, to avoid an allocation per event.
pub type EventType = Cow<'static, str>;

/// Why bytes cannot be parsed as a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a frame's declared length is out of bounds")]
    Length,
    #[error("a checksum does not match")]
    Checksum,
    #[error("a frame's headers cannot be read")]
    Malformed,
}

/// Splits a byte stream into frames. Checks the prelude and its CRC before buffering a frame of the declared length.
#[derive(Debug, Default)]
pub struct FrameReader {
    pending: Bytes,
}

impl FrameReader {
    /// Adds bytes from the wire.
    pub fn push(&mut self, data: Bytes) {
        if self.pending.is_empty() {
            self.pending = data;
        } else {
            let mut joined = BytesMut::from(std::mem::take(&mut self.pending));
            joined.extend_from_slice(&data);
            self.pending = joined.freeze();
        }
    }

    /// Returns whether bytes of an incomplete frame are buffered.
    pub fn has_leftover(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Returns the next complete frame, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// If the bytes are not a valid frame. The reader cannot resynchronize after an error.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        Ok(self.next_raw()?.map(|(frame, _)| frame))
    }

    /// Returns the next complete frame with its bytes.
    ///
    /// # Errors
    /// As [`next_frame`](Self::next_frame).
    pub fn next_raw(&mut self) -> Result<Option<(Frame, Bytes)>, FrameError> {
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
        let payload = frame.slice(PRELUDE + headers..total - CRC);
        Ok(Some((found.frame(payload), frame.clone())))
    }
}

/// Writes a frame whose headers are strings.
pub fn encode_frame(headers: &[(&str, &str)], payload: &[u8]) -> Bytes {
    let mut block = Vec::new();
    for (name, value) in headers {
        // All are far shorter than their limits.
        block.push(u8::try_from(name.len()).unwrap_or_default());
        block.extend_from_slice(name.as_bytes());
        block.push(7);
        block.extend_from_slice(&u16::try_from(value.len()).unwrap_or_default().to_be_bytes());
        block.extend_from_slice(value.as_bytes());
    }
    let total = PRELUDE + block.len() + payload.len() + CRC;
    let mut frame = Vec::with_capacity(total);
    for length in [total, block.len()] {
        frame.extend_from_slice(&u32::try_from(length).unwrap_or_default().to_be_bytes());
    }
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(&block);
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.into()
}

/// The headers that the reader uses. A missing header is empty.
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
                // 0 true, 1 false, 2 byte, 3 short, 4 integer, 5 long, 6 bytes, 7 string, 8 timestamp, 9 UUID.
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
    const KNOWN: [&str; 7] = [
        "chunk",
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

/// Takes a big-endian length of `width` bytes, then that number of bytes.
fn prefixed<'a>(block: &mut &'a [u8], width: usize) -> Option<&'a [u8]> {
    let length = take(block, width)?
        .iter()
        .fold(0, |length, byte| length << 8 | usize::from(*byte));
    take(block, length)
}
