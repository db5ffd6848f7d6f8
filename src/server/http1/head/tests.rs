use super::*;

fn checked(lines: &str) -> Result<Head, &'static str> {
    let head = format!("{}\r\n", lines.replace('\n', "\r\n"));
    check(head.as_bytes()).map_err(|bad| bad.code)
}

#[test]
fn heads_of_clients_are_accepted() {
    let framing = |lines| checked(lines).unwrap().framing;
    assert_eq!(
        framing(
            "GET /v1/models?a=[b]|c HTTP/1.1\nHost: [::1]:8080\nx-empty:\nCookie:  a=\"b\"; ü\n"
        ),
        Framing::Length(0)
    );
    assert_eq!(
        framing("POST /v1/x HTTP/1.1\nhost: a\nContent-Length: 12 \n"),
        Framing::Length(12)
    );
    assert_eq!(
        framing("POST /v1/x HTTP/1.1\nhost: a\nTransfer-Encoding: Chunked\n"),
        Framing::Chunked
    );
    assert!(!checked("GET / HTTP/1.0\n").unwrap().is_http_11);
}

#[test]
fn heads_that_servers_may_read_differently_are_rejected() {
    let long = format!("GET / HTTP/1.1\nhost: a\n{}", "x: y\n".repeat(100));
    for (lines, code) in [
        (
            "GET / HTTP/1.1\nhost: a\ncontent-length: 5\ntransfer-encoding: chunked\n",
            "ambiguous_length",
        ),
        (
            "GET / HTTP/1.1\nhost: a\ncontent-length: 5\ncontent-length: 5\n",
            "ambiguous_length",
        ),
        (
            "GET / HTTP/1.1\nhost: a\ncontent-length: 5, 5\n",
            "ambiguous_length",
        ),
        (
            "GET / HTTP/1.1\nhost: a\ncontent-length: +5\n",
            "ambiguous_length",
        ),
        (
            "GET / HTTP/1.1\nhost: a\ncontent-length:\n",
            "ambiguous_length",
        ),
        (
            "GET / HTTP/1.1\nhost: a\ncontent-length: 18446744073709551615\n",
            "ambiguous_length",
        ),
        (
            "GET / HTTP/1.1\nhost: a\ntransfer-encoding: gzip, chunked\n",
            "ambiguous_length",
        ),
        (
            "GET / HTTP/1.1\nhost: a\ntransfer-encoding: xchunked\n",
            "ambiguous_length",
        ),
        (
            "GET / HTTP/1.1\nhost: a\ntransfer-encoding: chunked\ntransfer-encoding: chunked\n",
            "ambiguous_length",
        ),
        (
            "GET / HTTP/1.0\nhost: a\ntransfer-encoding: chunked\n",
            "ambiguous_length",
        ),
        ("GET / HTTP/1.1\n", "ambiguous_host"),
        ("GET / HTTP/1.1\nhost: a\nhost: a\n", "ambiguous_host"),
        ("GET / HTTP/1.1\nhost: a b\n", "ambiguous_host"),
        ("GET / HTTP/1.1\nhost: a@b\n", "ambiguous_host"),
        ("GET / HTTP/1.1\nhost:\n", "ambiguous_host"),
        ("GET http://a/ HTTP/1.1\nhost: a\n", "malformed_request"),
        ("CONNECT a:443 HTTP/1.1\nhost: a\n", "malformed_request"),
        ("OPTIONS * HTTP/1.1\nhost: a\n", "malformed_request"),
        ("GET /#a HTTP/1.1\nhost: a\n", "malformed_request"),
        ("GET  / HTTP/1.1\nhost: a\n", "malformed_request"),
        ("GET / HTTP/1.1 \nhost: a\n", "malformed_request"),
        ("GET /\u{e4} HTTP/1.1\nhost: a\n", "malformed_request"),
        ("GET / HTTP/2.0\nhost: a\n", "malformed_request"),
        ("GET /\nhost: a\n", "malformed_request"),
        ("G=T / HTTP/1.1\nhost: a\n", "malformed_request"),
        ("GET / HTTP/1.1\n host: a\n", "malformed_request"),
        (
            "GET / HTTP/1.1\nhost: a\nx: y\n folded\n",
            "malformed_request",
        ),
        ("GET / HTTP/1.1\nhost : a\n", "malformed_request"),
        ("GET / HTTP/1.1\nhost: a\n: y\n", "malformed_request"),
        ("GET / HTTP/1.1\nhost: a\nno colon\n", "malformed_request"),
        ("GET / HTTP/1.1\nhost: a\nx: \0\n", "malformed_request"),
        ("GET / HTTP/1.1\nhost: a\nx: \u{7f}\n", "malformed_request"),
        (long.as_str(), "headers_too_large"),
    ] {
        assert_eq!(checked(lines), Err(code), "{lines:?}");
    }
    for head in [
        &b"GET / HTTP/1.1\nhost: a\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nhost: a\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: y\rz: a\r\n\r\n",
        b"GET / HTTP/1.1\r\rhost: a\r\n\r\n",
        // Accepted before, and rejected by hyper without a log line.
        b"GET / HTTP/1.1\r\nhost: a\r\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: \x0c5\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\x0c\r\n\r\n",
    ] {
        assert!(check(head).is_err(), "{}", head.escape_ascii());
    }
}
