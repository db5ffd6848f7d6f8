//! Addresses of clients behind proxies.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{Gateway, PATIENCE, log::Log, sha256};

/// A key that only one address may use.
fn settings(trusted: &str) -> String {
    format!(
        "{trusted}\n[keys.inside]\nsha256 = \"{}\"\nallow_ips = [\"192.0.2.1\"]\n",
        sha256("sk-inside")
    )
}

/// Sends `before` and a request, and returns the status line.
async fn status(gateway: &Gateway, before: &[u8], headers: &str) -> String {
    let mut stream = TcpStream::connect(gateway.data).await.unwrap();
    let request = format!(
        "GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-inside\r\nconnection: close\r\n{headers}\r\n"
    );
    let bytes = [before, request.as_bytes()].concat();
    stream.write_all(&bytes).await.unwrap();
    let mut reply = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut reply))
        .await
        .expect("not closed in time");
    let reply = String::from_utf8_lossy(&reply).into_owned();
    reply.lines().next().unwrap_or_default().to_owned()
}

const INSIDE: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n";
const OUTSIDE: &[u8] = b"PROXY TCP4 192.0.2.2 198.51.100.1 56324 443\r\n";
const BINARY: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb";

#[tokio::test]
async fn trusted_proxies_tell_the_address_of_the_client() {
    let log = Log::start();
    let gateway = Gateway::start_with(&settings("trusted_proxies = [\"127.0.0.0/8\"]")).await;
    for (before, headers, expected) in [
        (INSIDE, "", "HTTP/1.1 200 OK"),
        (BINARY, "", "HTTP/1.1 200 OK"),
        (b"", "x-forwarded-for: 192.0.2.1\r\n", "HTTP/1.1 200 OK"),
        (
            b"",
            "x-forwarded-for: 8.8.8.8, 192.0.2.1, 127.0.0.9\r\n",
            "HTTP/1.1 200 OK",
        ),
        (OUTSIDE, "", "HTTP/1.1 401 Unauthorized"),
        // Such a proxy passes headers on as the client wrote them.
        (
            b"PROXY UNKNOWN\r\n",
            "x-forwarded-for: 192.0.2.1\r\n",
            "HTTP/1.1 401 Unauthorized",
        ),
        // Whom the proxy does not trust claims an address.
        (
            OUTSIDE,
            "x-forwarded-for: 192.0.2.1\r\n",
            "HTTP/1.1 401 Unauthorized",
        ),
        (
            b"",
            "x-forwarded-for: 192.0.2.1, 192.0.2.2\r\n",
            "HTTP/1.1 401 Unauthorized",
        ),
        (b"", "", "HTTP/1.1 401 Unauthorized"),
        (b"PROXY TCP4 nonsense\r\n", "", ""),
    ] {
        assert_eq!(
            status(&gateway, before, headers).await,
            expected,
            "{before:?} {headers}"
        );
    }
    let lines = log.requests("/v1/models");
    assert!(
        lines.iter().any(|line| line["client"] == "192.0.2.2"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn strangers_are_not_believed_about_their_address() {
    let gateway = Gateway::start_with(&settings("")).await;
    for (before, headers, expected) in [
        (INSIDE, "", "HTTP/1.1 400 Bad Request"),
        (BINARY, "", "HTTP/1.1 400 Bad Request"),
        (
            b"",
            "x-forwarded-for: 192.0.2.1\r\n",
            "HTTP/1.1 401 Unauthorized",
        ),
    ] {
        assert_eq!(
            status(&gateway, before, headers).await,
            expected,
            "{before:?} {headers}"
        );
    }
}

#[tokio::test]
async fn half_a_header_of_a_proxy_is_closed_after_the_header_timeout() {
    let lines = "header_timeout = \"200ms\"\ntrusted_proxies = [\"127.0.0.1\"]";
    let gateway = Gateway::start_with(lines).await;
    let mut stream = TcpStream::connect(gateway.data).await.unwrap();
    stream.write_all(&INSIDE[..20]).await.unwrap();
    let closed = timeout(PATIENCE, stream.read(&mut [0; 16])).await;
    assert!(matches!(
        closed.expect("not closed in time"),
        Ok(0) | Err(_)
    ));
}
