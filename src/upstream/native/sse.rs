//! Splits a byte stream into server-sent events, <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use bytes::{Buf, Bytes, BytesMut};

/// Cap on one line and on the data of one event, in bytes. The same as for a frame of Converse.
const MAX_EVENT: usize = 24 << 20;

/// One event.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// `event`; empty if there is none.
    pub name: Vec<u8>,
    /// The lines of `data`, joined by line breaks.
    pub data: Vec<u8>,
}

/// A line or an event is longer than any that the service sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Reads events. Comments and other fields are skipped.
#[derive(Debug, Default)]
pub struct SseReader {
    pending: BytesMut,
    /// The bytes of `pending` that are known to have no line break.
    scanned: usize,
    event: Event,
    has_data: bool,
}

impl SseReader {
    /// Adds bytes from the wire.
    pub fn push(&mut self, data: &Bytes) {
        self.pending.extend_from_slice(data);
    }

    /// Returns whether an incomplete event is buffered.
    pub fn has_leftover(&self) -> bool {
        !self.pending.is_empty() || self.has_data
    }

    /// Returns the bytes that are not part of an event, if the body is JSON and not a stream.
    pub fn json(&self) -> Option<&[u8]> {
        let is_json = self.pending.first() == Some(&b'{') && !self.has_data;
        is_json.then_some(&self.pending)
    }

    /// Returns the next complete event, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// If an event is too long.
    pub fn next_event(&mut self) -> Result<Option<Event>, TooLong> {
        loop {
            let rest = &self.pending[self.scanned..];
            let Some(at) = rest.iter().position(|byte| *byte == b'\n') else {
                self.scanned = self.pending.len();
                return match self.scanned > MAX_EVENT {
                    true => Err(TooLong),
                    false => Ok(None),
                };
            };
            let line = self.pending.split_to(self.scanned + at);
            self.pending.advance(1);
            self.scanned = 0;
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            if !line.is_empty() {
                self.field(line)?;
            } else if std::mem::take(&mut self.has_data) {
                return Ok(Some(std::mem::take(&mut self.event)));
            } else {
                self.event = Event::default();
            }
        }
    }

    fn field(&mut self, line: &[u8]) -> Result<(), TooLong> {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                if self.has_data {
                    self.event.data.push(b'\n');
                }
                self.has_data = true;
                self.event.data.extend_from_slice(value);
            }
            b"event" => self.event.name = value.to_vec(),
            _ => {}
        }
        match self.event.data.len() > MAX_EVENT {
            true => Err(TooLong),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str = ": hello\n\ndata: {\"a\": \"é\"}\n\nevent: error\r\ndata: one\r\ndata:two\r\nid: 7\r\n\r\n\n\ndata: [DONE]\n\ndata: cut";

    fn events(parts: &[&[u8]]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut reader = SseReader::default();
        let mut events = Vec::new();
        for part in parts {
            reader.push(&Bytes::copy_from_slice(part));
            while let Some(Event { name, data }) = reader.next_event().unwrap() {
                events.push((name, data));
            }
        }
        assert!(reader.has_leftover());
        events
    }

    proptest! {
        #[test]
        fn events_do_not_depend_on_how_the_bytes_are_split(cuts in prop::collection::vec(0..STREAM.len(), 0..8)) {
            let mut cuts = cuts;
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|cut| &STREAM.as_bytes()[cut[0]..cut[1]]).collect();
            let expected = [("", "{\"a\": \"é\"}"), ("error", "one\ntwo"), ("", "[DONE]")];
            let expected = expected.map(|(name, data)| (name.into(), data.into()));
            prop_assert_eq!(events(&parts), expected.to_vec());
        }
    }

    #[test]
    fn endless_line_is_an_error() {
        let mut reader = SseReader::default();
        reader.push(&Bytes::from(vec![b'a'; MAX_EVENT + 1]));
        assert_eq!(reader.next_event(), Err(TooLong));
    }
}
