//! Finds where each request of a connection begins and ends, and checks every head.

use super::{
    chunks::{Chunks, InvalidChunks},
    head::{self, BROKEN_CHUNKS, Framing, MAX_HEAD, TOO_LARGE},
};
use crate::edge::BadHead;

/// The position in the requests of a connection.
#[derive(Debug)]
pub struct Requests {
    place: Place,
    is_http_11: bool,
}

#[derive(Debug)]
enum Place {
    /// Before a head, of which this many bytes were searched for its end.
    Head(usize),
    Body(u64),
    Chunks(Chunks),
}

/// Why the bytes cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Nothing of the request was passed on.
    Head(BadHead),
    /// The head was passed on.
    Body,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            place: Place::Head(0),
            is_http_11: false,
        }
    }
}

impl Requests {
    /// Reports whether the next byte belongs to a head.
    pub fn is_at_head(&self) -> bool {
        matches!(self.place, Place::Head(_))
    }

    /// Reports whether the last request was HTTP/1.1.
    pub fn is_http_11(&self) -> bool {
        self.is_http_11
    }

    /// Returns how many of `bytes` may be passed on: a whole head and what follows of its body, or more of a body. The
    /// same bytes must be given again with what follows them until they were passed on.
    ///
    /// # Errors
    /// If the head or the body is ambiguous.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        let start = match self.place {
            Place::Head(_) => match self.head(bytes).map_err(Violation::Head)? {
                0 => return Ok(0),
                length => length,
            },
            _ => 0,
        };
        match self.body(&bytes[start..]) {
            Ok(taken) => Ok(start + taken),
            Err(InvalidChunks) if start > 0 => Err(Violation::Head(BROKEN_CHUNKS)),
            Err(InvalidChunks) => Err(Violation::Body),
        }
    }

    fn head(&mut self, bytes: &[u8]) -> Result<usize, BadHead> {
        // RFC 9112, section 2.2: an empty line before a request is ignored, because old clients send one.
        let blank = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
        let searched = match self.place {
            Place::Head(searched) => searched.max(blank),
            _ => blank,
        };
        match end_of_head(bytes, searched) {
            Some(end) if end <= MAX_HEAD => {
                let head = head::check(&bytes[blank..end])?;
                self.is_http_11 = head.is_http_11;
                self.place = match head.framing {
                    Framing::Length(length) => Place::Body(length),
                    Framing::Chunked => Place::Chunks(Chunks::new()),
                };
                Ok(end)
            }
            None if bytes.len() < MAX_HEAD => {
                self.place = Place::Head(bytes.len().saturating_sub(3));
                Ok(0)
            }
            _ => Err(TOO_LARGE),
        }
    }

    fn body(&mut self, bytes: &[u8]) -> Result<usize, InvalidChunks> {
        let (taken, is_end) = match &mut self.place {
            Place::Head(_) => (0, false),
            Place::Body(left) => {
                let taken = bytes
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                (taken, *left == 0)
            }
            Place::Chunks(chunks) => chunks.follow(bytes)?,
        };
        if is_end {
            self.place = Place::Head(0);
        }
        Ok(taken)
    }
}

/// Returns the position after the empty line. An LF alone counts as a line end here, so that a head with one is checked, and
/// rejected, at once.
fn end_of_head(bytes: &[u8], searched: usize) -> Option<usize> {
    let mut line = searched;
    while let Some(end) = bytes[line..].iter().position(|byte| *byte == b'\n') {
        let next = line + end + 1;
        let rest = &bytes[next..];
        if rest.starts_with(b"\r\n") {
            return Some(next + 2);
        }
        if rest.starts_with(b"\n") {
            return Some(next + 1);
        }
        line = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passes `bytes` on in pieces of `step` bytes, and returns the ends of the requests.
    fn ends(bytes: &[u8], step: usize) -> Result<Vec<usize>, Violation> {
        let (mut requests, mut ends, mut passed) = (Requests::default(), Vec::new(), 0);
        let mut received = 0;
        while received < bytes.len() {
            received = bytes.len().min(received + step);
            loop {
                let taken = requests.follow(&bytes[passed..received])?;
                passed += taken;
                if requests.is_at_head() && taken > 0 {
                    ends.push(passed);
                }
                if taken == 0 || passed == received {
                    break;
                }
            }
        }
        Ok(ends)
    }

    #[test]
    fn requests_end_where_they_say_wherever_they_are_cut() {
        let parts = [
            &b"POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello"[..],
            b"\r\nGET /b HTTP/1.1\r\nhost: a\r\n\r\n",
            b"POST /c HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"GET /d HTTP/1.1\r\nhost: a\r\n\r\n",
        ];
        let expected: Vec<usize> = (1..=parts.len())
            .map(|n| parts[..n].iter().map(|part| part.len()).sum())
            .collect();
        let bytes = parts.concat();
        for step in 1..=bytes.len() {
            assert_eq!(ends(&bytes, step), Ok(expected.clone()), "{step}");
        }
    }

    #[test]
    fn head_that_never_ends_is_rejected() {
        let endless = [b"GET / HTTP/1.1\r\nx: ", "a".repeat(MAX_HEAD).as_bytes()].concat();
        for step in [1000, endless.len()] {
            assert_eq!(ends(&endless, step), Err(Violation::Head(TOO_LARGE)));
        }
    }

    #[test]
    fn bare_line_feeds_end_a_head_at_once() {
        let smuggled = b"GET / HTTP/1.1\nhost: a\n\nGET /b HTTP/1.1\r\nhost: a\r\n\r\n";
        assert!(matches!(ends(smuggled, 100), Err(Violation::Head(_))));
    }
}
