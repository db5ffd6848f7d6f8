//! Follows a chunked body to its end, byte by byte. hyper decodes it again; here only its end is found, and what is
//! ambiguous is rejected: line ends without CR, extensions that carry data, and lengths that do not fit.

use super::head;

/// The most bytes of extensions and trailers of one body.
const MAX_EXTRA: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Size,
    Extension,
    SizeEnd,
    Data,
    DataCr,
    DataEnd,
    Trailer,
}

/// The position in a chunked body.
#[derive(Debug)]
pub struct Chunks {
    place: Place,
    /// The rest of the chunk, or its length as far as it was read.
    size: u64,
    digits: u8,
    extra: usize,
    /// The trailer line that is being read.
    line: Vec<u8>,
}

/// The body is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidChunks;

impl Chunks {
    pub fn new() -> Self {
        Self {
            place: Place::Size,
            size: 0,
            digits: 0,
            extra: 0,
            line: Vec::new(),
        }
    }

    /// Follows the body through `bytes`. Returns how many of them belong to it, and whether it ends there.
    ///
    /// # Errors
    /// If the body is not valid.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<(usize, bool), InvalidChunks> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if self.place == Place::Data {
                let rest = (bytes.len() - at) as u64;
                let taken = self.size.min(rest);
                self.size -= taken;
                // At most the length of `bytes`.
                at += taken as usize;
                if self.size == 0 {
                    self.place = Place::DataCr;
                }
                continue;
            }
            at += 1;
            if self.step(*byte)? {
                return Ok((at, true));
            }
        }
        Ok((at, false))
    }

    /// Returns whether the body ends with `byte`.
    fn step(&mut self, byte: u8) -> Result<bool, InvalidChunks> {
        match (self.place, byte) {
            (Place::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if self.digits < 15 => {
                let digit = char::from(byte).to_digit(16).ok_or(InvalidChunks)?;
                self.size = self.size << 4 | u64::from(digit);
                self.digits += 1;
            }
            (Place::Size, b'\r') if self.digits > 0 => self.place = Place::SizeEnd,
            (Place::Size, b';') if self.digits > 0 => self.place = Place::Extension,
            (Place::Extension, b'\r') => self.place = Place::SizeEnd,
            (Place::Extension, b'\t' | b' '..=b'~') => self.count_extra()?,
            (Place::SizeEnd, b'\n') if self.size == 0 => self.place = Place::Trailer,
            (Place::SizeEnd, b'\n') => self.place = Place::Data,
            (Place::DataCr, b'\r') => self.place = Place::DataEnd,
            (Place::DataEnd, b'\n') => (self.place, self.digits) = (Place::Size, 0),
            (Place::Trailer, b'\n') => return self.end_line(),
            (Place::Trailer, byte) => {
                self.count_extra()?;
                self.line.push(byte);
            }
            _ => return Err(InvalidChunks),
        }
        Ok(false)
    }

    fn count_extra(&mut self) -> Result<(), InvalidChunks> {
        self.extra += 1;
        match self.extra > MAX_EXTRA {
            true => Err(InvalidChunks),
            false => Ok(()),
        }
    }

    /// Checks a trailer line. The empty one ends the body.
    fn end_line(&mut self) -> Result<bool, InvalidChunks> {
        let line = self.line.strip_suffix(b"\r").ok_or(InvalidChunks)?;
        if !line.is_empty() {
            head::header(line).map_err(|_| InvalidChunks)?;
        }
        let is_end = line.is_empty();
        self.line.clear();
        Ok(is_end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows `body` in pieces of `step` bytes. Returns the length of the body if it ends.
    fn follow(body: &[u8], step: usize) -> Result<Option<usize>, InvalidChunks> {
        let (mut chunks, mut at) = (Chunks::new(), 0);
        while at < body.len() {
            let end = body.len().min(at + step);
            let (taken, is_end) = chunks.follow(&body[at..end])?;
            at += taken;
            if is_end {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    #[test]
    fn end_is_found_wherever_the_body_is_cut() {
        for body in [
            &b"0\r\n\r\n"[..],
            b"5\r\nhello\r\n0\r\n\r\n",
            b"A;a=b\r\n0123456789\r\n00\r\nx: y\r\nz:\r\n\r\n",
        ] {
            for step in 1..=body.len() {
                let next = [body, b"GET / HTTP/1.1\r\n"].concat();
                assert_eq!(follow(&next, step), Ok(Some(body.len())), "{step}");
            }
        }
        assert_eq!(follow(b"5\r\nhell", 3), Ok(None));
    }

    #[test]
    fn ambiguous_bodies_are_rejected() {
        let long = [b"1;", "a".repeat(MAX_EXTRA + 1).as_bytes(), b"\r\n"].concat();
        for body in [
            &b"\r\n"[..],
            b"g\r\n",
            b"-1\r\n",
            b"0x5\r\n",
            b" 5\r\n",
            b"5 \r\n",
            b"5\nhello\r\n",
            b"5\rhello\r\n",
            b"5\r\nhelloX0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"1000000000000000\r\n",
            b"5;a\nb\r\n",
            b"0\r\n\n",
            b"0\r\nx y\r\n\r\n",
            b"0\r\n x: y\r\n\r\n",
            &long,
        ] {
            for step in [1, body.len()] {
                assert_eq!(
                    follow(body, step),
                    Err(InvalidChunks),
                    "{}",
                    body.escape_ascii()
                );
            }
        }
    }
}
