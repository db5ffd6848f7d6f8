//! Checks the head of a request as bytes, before hyper parses it. Proxies and servers disagree about heads that bend the
//! rules, and such disagreement allows request smuggling (RFC 9112, sections 6.3 and 11.2). So nothing is repaired here.

use crate::{edge::BadHead, error::Kind};

/// The largest head, in bytes.
pub const MAX_HEAD: usize = 64 * 1024;
/// The most header lines. hyper has the same limit.
pub const MAX_LINES: usize = 100;

/// How the body of a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After this many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
}

/// What follows from a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub framing: Framing,
    /// The version is HTTP/1.1, not HTTP/1.0.
    pub is_http_11: bool,
}

/// The head exceeds [`MAX_HEAD`] or the number of lines.
pub const TOO_LARGE: BadHead = BadHead {
    kind: Kind::HeadTooLarge,
    code: "headers_too_large",
    message: "The request's headers are too large. Send at most 100 headers, and 64 KiB of them.",
};

/// The head did not arrive within `server.header_timeout`.
pub const TOO_SLOW: BadHead = BadHead {
    kind: Kind::RequestTimeout,
    code: "request_timeout",
    message: "The request's headers arrived too slowly.",
};

/// The body that came with the head is not valid.
pub const BROKEN_CHUNKS: BadHead = bad(
    "incomplete_body",
    "The body is incomplete, or its transfer encoding is broken.",
);

/// The length of the body is not clear.
pub const LENGTH: BadHead = bad(
    "ambiguous_length",
    "Send 'content-length' once, as a number, or 'transfer-encoding: chunked', not both.",
);
/// The host is missing, or not clear.
pub const HOST: BadHead = bad("ambiguous_host", "Send exactly one 'host' header.");
/// The request line is not valid.
pub const REQUEST_LINE: BadHead = bad(
    "malformed_request",
    "The request line must be a method, a path that begins with '/', and HTTP/1.1, with one space between them.",
);
const HEADER: BadHead = bad(
    "malformed_request",
    "Each header must be a name, a colon and a value on one line that ends with CR LF.",
);

/// A head that is rejected with 400.
pub const fn bad(code: &'static str, message: &'static str) -> BadHead {
    BadHead {
        kind: Kind::InvalidRequest,
        code,
        message,
    }
}

/// Checks a head from its first byte to its empty line.
///
/// # Errors
/// 400 for a head that servers may read differently, 431 for too many lines.
pub fn check(head: &[u8]) -> Result<Head, BadHead> {
    let mut lines = Lines(head.strip_suffix(b"\r\n").unwrap_or(head));
    let is_http_11 = check_request_line(lines.next().ok_or(REQUEST_LINE)?.ok_or(REQUEST_LINE)?)?;
    let (mut hosts, mut length, mut is_chunked) = (0, None, false);
    for (nth, line) in lines.enumerate() {
        if nth == MAX_LINES {
            return Err(TOO_LARGE);
        }
        let (name, value) = header(line.ok_or(HEADER)?)?;
        if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
            if hosts > 1 || !is_host(value) {
                return Err(HOST);
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if length.replace(number(value).ok_or(LENGTH)?).is_some() {
                return Err(LENGTH);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if is_chunked || !is_http_11 || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(LENGTH);
            }
            is_chunked = true;
        }
    }
    if hosts == 0 && is_http_11 {
        return Err(HOST);
    }
    let framing = match (length, is_chunked) {
        (Some(_), true) => return Err(LENGTH),
        (_, true) => Framing::Chunked,
        (length, false) => Framing::Length(length.unwrap_or(0)),
    };
    Ok(Head {
        framing,
        is_http_11,
    })
}

/// Checks a header line without its line end, and returns the name and the value.
///
/// # Errors
/// 400 if it is folded, or has a character that does not belong there.
pub fn header(line: &[u8]) -> Result<(&[u8], &[u8]), BadHead> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(HEADER)?;
    let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
    let is_text = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    match is_token(name) && value.iter().all(is_text) {
        true => Ok((name, value)),
        false => Err(HEADER),
    }
}

/// Removes spaces and tabs at both ends. `trim_ascii` would also remove CR and form feeds, which are not allowed.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Lines that end with CR LF. A line is `None` if it ends otherwise.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let end = self.0.iter().position(|byte| *byte == b'\n');
        let (line, rest) = self.0.split_at(end.map_or(self.0.len(), |end| end + 1));
        self.0 = rest;
        Some(line.strip_suffix(b"\r\n"))
    }
}

/// Returns whether the version is HTTP/1.1.
fn check_request_line(line: &[u8]) -> Result<bool, BadHead> {
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(REQUEST_LINE);
    };
    if !is_token(method) || !target.starts_with(b"/") || !target.iter().all(is_target) {
        return Err(REQUEST_LINE);
    }
    match version {
        b"HTTP/1.1" => Ok(true),
        b"HTTP/1.0" => Ok(false),
        _ => Err(REQUEST_LINE),
    }
}

/// The characters of a path and a query, which are those that hyper accepts in both.
fn is_target(byte: &u8) -> bool {
    matches!(byte, b'!' | b'$'..=b';' | b'=' | b'?'..=b'_' | b'a'..=b'z' | b'|' | b'~')
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &[u8]) -> bool {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_token)
}

/// Reports whether `value` is a host, with or without a port.
pub fn is_host(value: &[u8]) -> bool {
    let is_host = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=%:[]".contains(byte);
    !value.is_empty() && value.iter().all(is_host)
}

/// Digits only: no sign, no list, no space. hyper has other meanings for the largest numbers.
fn number(value: &[u8]) -> Option<u64> {
    let digits = value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits)?;
    text.parse().ok().filter(|length| *length <= u64::MAX / 2)
}

#[cfg(test)]
mod tests;
