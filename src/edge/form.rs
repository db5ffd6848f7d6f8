//! Reads `multipart/form-data` (RFC 7578) from a body that has arrived.

use memchr::memmem;

use crate::error::{Error, Kind};

/// The most parts of a form.
const MAX_PARTS: usize = 100;

/// The most bytes of the headers of one part.
const MAX_HEADERS: usize = 4096;

/// One part of a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    pub name: &'a str,
    /// The part has a file name.
    pub is_file: bool,
    pub content: &'a [u8],
}

/// Returns the parts of a form. `content_type` is the header of the request.
///
/// # Errors
/// 400 if the body is not a form with the boundary of `content_type`.
pub fn parts<'a>(content_type: &str, body: &'a [u8]) -> Result<Vec<Part<'a>>, Error> {
    let boundary = boundary(content_type).ok_or_else(|| {
        invalid("the header 'content-type' has no boundary; let the HTTP client set it")
    })?;
    let delimiter = format!("\r\n--{boundary}");
    let finder = memmem::Finder::new(&delimiter);
    // The first delimiter may begin the body.
    let mut rest = match body.strip_prefix(&delimiter.as_bytes()[2..]) {
        Some(rest) => rest,
        None => {
            after(body, &finder)
                .ok_or_else(|| invalid("its boundary does not occur"))?
                .1
        }
    };
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        if parts.len() == MAX_PARTS {
            return Err(invalid(&format!("it has more than {MAX_PARTS} parts")));
        }
        let begin = next_line(rest).ok_or_else(|| invalid("a boundary does not end its line"))?;
        let (content, next) = after(begin, &finder).ok_or_else(|| invalid("it is cut off"))?;
        parts.push(part(content)?);
        rest = next;
    }
    Ok(parts)
}

/// Splits at the next delimiter.
fn after<'a>(bytes: &'a [u8], delimiter: &memmem::Finder<'_>) -> Option<(&'a [u8], &'a [u8])> {
    let at = delimiter.find(bytes)?;
    Some((&bytes[..at], &bytes[at + delimiter.needle().len()..]))
}

/// The line after `bytes`, whose own line may only have white space.
fn next_line(bytes: &[u8]) -> Option<&[u8]> {
    let blank = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t'));
    bytes[blank.count()..].strip_prefix(b"\r\n")
}

/// Reads the headers of a part.
fn part(bytes: &[u8]) -> Result<Part<'_>, Error> {
    // Without headers, the empty line comes first.
    let end = match bytes.starts_with(b"\r\n") {
        true => Some((0, 2)),
        false => memmem::find(bytes, b"\r\n\r\n").map(|at| (at, at + 4)),
    };
    let (end, begin) = end
        .filter(|(end, _)| *end <= MAX_HEADERS)
        .ok_or_else(|| invalid("the headers of a part do not end"))?;
    let head = str::from_utf8(&bytes[..end]).map_err(|_| invalid("a header is not UTF-8"))?;
    let mut disposition = None;
    for line in head.split("\r\n") {
        let (name, value) = line.split_once(':').unwrap_or_default();
        let name = name.trim();
        if name.eq_ignore_ascii_case("content-disposition") {
            disposition = Some(value);
        }
        if name.eq_ignore_ascii_case("content-transfer-encoding")
            && !["binary", "8bit", "7bit"].contains(&value.trim().to_ascii_lowercase().as_str())
        {
            return Err(invalid("the content of a part is encoded"));
        }
    }
    let name = disposition.and_then(|disposition| parameter(disposition, "name"));
    Ok(Part {
        name: name.ok_or_else(|| invalid("a part has no name"))?,
        is_file: disposition.is_some_and(|own| parameter(own, "filename").is_some()),
        content: &bytes[begin..],
    })
}

/// The boundary of a content type.
fn boundary(content_type: &str) -> Option<&str> {
    let boundary = parameter(content_type, "boundary")?;
    let is_plain = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    let fits = (1..=70).contains(&boundary.len()) && boundary.bytes().all(is_plain);
    fits.then_some(boundary)
}

/// The parameter `name` of a header such as `form-data; name="a"; filename="b"`. A quoted value ends at the next quote
/// that no backslash precedes.
fn parameter<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let (_, mut rest) = header.split_once(';')?;
    loop {
        let (own, value) = rest.split_once('=')?;
        let (value, next) = match value.trim_start().strip_prefix('"') {
            Some(quoted) => {
                let mut before = ' ';
                let end = quoted.char_indices().find(|(_, c)| {
                    let is_end = *c == '"' && before != '\\';
                    before = *c;
                    is_end
                })?;
                (
                    &quoted[..end.0],
                    quoted[end.0 + 1..].trim_start().strip_prefix(';'),
                )
            }
            None => match value.split_once(';') {
                Some((value, next)) => (value.trim(), Some(next)),
                None => (value.trim(), None),
            },
        };
        if own.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = next?;
    }
}

fn invalid(why: &str) -> Error {
    Error::new(
        Kind::InvalidRequest,
        format!("The body is not valid multipart/form-data: {why}."),
    )
    .with_code("invalid_form")
    .with_param("body")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=\"a b\"";

    #[test]
    fn parts_have_names_and_exact_contents() {
        let body = b"preamble\r\n--a b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nx\r\n--a b  \r\ncontent-type: image/png\r\ncontent-disposition: form-data; filename=\"a;\\\"name=b.png\"; name=image[]\r\n\r\n\r\n--a c\0\r\n\r\n--a b--\r\nepilogue";
        let parts = parts(TYPE, body).unwrap();
        let expected: [(&str, bool, &[u8]); 2] = [
            ("model", false, b"x"),
            ("image[]", true, b"\r\n--a c\0\r\n"),
        ];
        for (part, (name, is_file, content)) in parts.iter().zip(expected) {
            assert_eq!(
                (part.name, part.is_file, part.content),
                (name, is_file, content)
            );
        }
        assert_eq!(parts.len(), 2);
        assert_eq!(super::parts(TYPE, b"--a b--").unwrap(), []);
    }

    #[test]
    fn a_broken_form_is_an_error() {
        let one = |head: &str| format!("--a b\r\n{head}\r\n\r\nx\r\n--a b--");
        for body in [
            String::new(),
            "{}".to_owned(),
            one("content-disposition: form-data"),
            one("x: y"),
            one("content-disposition: form-data; name=\"a\r\ncontent-transfer-encoding: base64"),
            one("content-disposition: form-data; name=a\r\ncontent-transfer-encoding: base64"),
            "--a b\r\ncontent-disposition: form-data; name=a\r\n\r\nx".to_owned(),
            "--a bc\r\n".to_owned(),
            "--a b\r\nno end\r\n--a b--".to_owned(),
            "--a b\r\n\r\nx".repeat(200),
        ] {
            assert!(parts(TYPE, body.as_bytes()).is_err(), "{body}");
        }
        for content_type in [
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "x; boundary=\u{e9}",
        ] {
            assert!(parts(content_type, b"--a b--").is_err(), "{content_type}");
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(body: Vec<u8>, head in "[a-z:;=\" \\\\\r\n-]{0,40}") {
            let _ = parts(TYPE, &body);
            let _ = parts(&head, &body);
            let _ = parts(TYPE, format!("--a b\r\n{head}\r\n\r\n\r\n--a b--").as_bytes());
        }
    }
}
