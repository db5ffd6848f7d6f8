//! Passes arbitrary bytes through the check of requests. Where requests end must not depend on how the bytes are cut, and
//! the parser that hyper uses must read every accepted head alike.
#![no_main]

use lintel::server::http1::{
    framing::{Requests, Violation},
    head::{self, BROKEN_CHUNKS, Framing},
};

/// Why the rest is not passed on. A broken body is found with its head or after it, depending on the cut.
#[derive(Debug, PartialEq)]
enum Rejection {
    Head(&'static str),
    Body,
}

/// Returns where each request ends, and why the rest is rejected, if it is.
fn read(data: &[u8], piece_len: usize) -> (Vec<usize>, Option<Rejection>) {
    let (mut requests, mut ends, mut passed, mut received) =
        (Requests::default(), Vec::new(), 0, 0);
    while received < data.len() {
        received = data.len().min(received.saturating_add(piece_len));
        while passed < received {
            match requests.follow(&data[passed..received]) {
                Ok(0) => break,
                Ok(taken) => passed += taken,
                Err(Violation::Head(bad)) if bad != BROKEN_CHUNKS => {
                    return (ends, Some(Rejection::Head(bad.code)));
                }
                Err(_) => return (ends, Some(Rejection::Body)),
            }
            if requests.is_at_head() {
                ends.push(passed);
            }
        }
    }
    (ends, None)
}

/// Checks that httparse finds in `head`, which was accepted, what the gateway found in it.
fn compare(bytes: &[u8], accepted: head::Head) {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let words: Vec<&[u8]> = lines[0].split(|byte| *byte == b' ').collect();
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut headers);
    assert_eq!(
        request.parse(bytes),
        Ok(httparse::Status::Complete(bytes.len()))
    );
    assert_eq!(request.method.unwrap().as_bytes(), words[0]);
    assert_eq!(request.path.unwrap().as_bytes(), words[1]);
    assert_eq!(request.version == Some(1), accepted.is_http_11);
    // Beside the headers: the request line, the empty line, and what follows the last LF.
    assert_eq!(request.headers.len(), lines.len() - 3);
    let values = |name: &str| -> Vec<&str> {
        let named = request.headers.iter();
        let named = named.filter(|header| header.name.eq_ignore_ascii_case(name));
        named
            .map(|header| std::str::from_utf8(header.value).unwrap())
            .collect()
    };
    let lengths: Vec<u64> = values("content-length")
        .into_iter()
        .map(|value| value.parse().unwrap())
        .collect();
    match (accepted.framing, values("transfer-encoding").as_slice()) {
        (Framing::Length(length), []) => {
            assert!(lengths == [length] || (lengths.is_empty() && length == 0))
        }
        (Framing::Chunked, [value]) => {
            assert!(value.eq_ignore_ascii_case("chunked") && lengths.is_empty())
        }
        (framing, values) => panic!("{framing:?} {values:?}"),
    }
    // hyper builds these from what httparse found, and otherwise answers 400 by itself.
    http::Method::from_bytes(words[0]).unwrap();
    http::Uri::try_from(words[1]).unwrap();
    for header in request.headers.iter() {
        http::HeaderName::from_bytes(header.name.as_bytes()).unwrap();
        http::HeaderValue::from_bytes(header.value).unwrap();
    }
}

// The first byte is the length of the pieces.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((piece_len, data)) = data.split_first() else {
        return;
    };
    let whole = read(data, usize::MAX);
    assert_eq!(read(data, usize::from(*piece_len).max(1)), whole);
    let starts = [0].into_iter().chain(whole.0);
    let heads = starts.filter_map(|start| {
        let request = data[start..].strip_prefix(b"\r\n");
        let request = request.unwrap_or(&data[start..]);
        let length = request.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
        Some(&request[..length + 4])
    });
    for bytes in heads.chain([data]) {
        if let Ok(accepted) = head::check(bytes) {
            compare(bytes, accepted);
        }
    }
});
