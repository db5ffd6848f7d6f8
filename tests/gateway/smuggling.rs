//! Requests that servers may read differently (RFC 9112, sections 6 and 11), as raw bytes, on both ports.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{Gateway, KEY, PATIENCE, log::Log, user};

/// What follows each request. It must never be read as a request of its own.
const SMUGGLED: &str = "GET /v1/smuggled HTTP/1.1\r\nhost: x\r\n\r\n";

/// Sends `bytes`, and reads to the end of the connection.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The gateway may close the connection while the test is still writing.
    let _ = stream.write_all(bytes).await;
    let mut reply = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut reply)).await;
    assert!(read.is_ok(), "not closed after {}", bytes.escape_ascii());
    String::from_utf8_lossy(&reply).into_owned()
}

fn assert_refused(reply: &str, sent: &[u8], status: u16) {
    let sent = sent.escape_ascii();
    assert!(
        reply.starts_with(&format!("HTTP/1.1 {status} ")),
        "{sent}\n{reply}"
    );
    assert!(reply.contains("connection: close"), "{sent}\n{reply}");
    assert!(
        reply.contains("\"type\":\"invalid_request_error\""),
        "{sent}\n{reply}"
    );
    assert_eq!(
        reply.matches("content-type: application/json").count(),
        1,
        "{sent}\n{reply}"
    );
}

#[tokio::test]
async fn ambiguous_heads_are_refused_on_both_ports() {
    let log = Log::start();
    let gateway = Gateway::start().await;
    let key = format!("authorization: Bearer {KEY}");
    let many = "x: y\r\n".repeat(101);
    let long = format!("x: {}\r\n", "a".repeat(70_000));
    for (status, request_line, headers) in [
        // Accepted before: hyper removes the length first, so the check behind it could not fire.
        (
            400,
            "POST /v1/chat/completions HTTP/1.1\r\n",
            "host: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n",
        ),
        (
            400,
            "POST /v1/chat/completions HTTP/1.1\r\n",
            "host: x\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n",
        ),
        (
            400,
            "POST /v1/chat/completions HTTP/1.1\r\n",
            "host: x\r\ncontent-length: 5\r\ncontent-length: 5\r\n",
        ),
        (
            400,
            "POST /v1/chat/completions HTTP/1.1\r\n",
            "host: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n",
        ),
        (
            400,
            "POST /v1/chat/completions HTTP/1.1\r\n",
            "host: x\r\ncontent-length: 5,5\r\n",
        ),
        (
            400,
            "POST /v1/chat/completions HTTP/1.1\r\n",
            "host: x\r\ncontent-length: 0x5\r\n",
        ),
        (
            400,
            "POST /v1/chat/completions HTTP/1.1\r\n",
            "host: x\r\ncontent-length: -1\r\n",
        ),
        (
            400,
            "POST /v1/chat/completions HTTP/1.1\r\n",
            "host: x\r\ntransfer-encoding: chunked, identity\r\n",
        ),
        (
            400,
            "POST /v1/chat/completions HTTP/1.1\r\n",
            "host: x\r\ntransfer-encoding: identity\r\n",
        ),
        (
            400,
            "POST /v1/chat/completions HTTP/1.1\r\n",
            "host: x\r\ntransfer-encoding:\u{b}chunked\r\n",
        ),
        (
            400,
            "POST /v1/chat/completions HTTP/1.1\r\n",
            "host: x\r\ntransfer-encoding : chunked\r\n",
        ),
        (
            400,
            "POST /v1/chat/completions HTTP/1.0\r\n",
            "host: x\r\ntransfer-encoding: chunked\r\n",
        ),
        (400, "GET /v1/models HTTP/1.1\r\n", ""),
        (400, "GET /v1/models HTTP/1.1\r\n", "host: x\r\nhost: x\r\n"),
        (400, "GET /v1/models HTTP/1.1\r\n", "host: x\r\nHost: y\r\n"),
        (400, "GET /v1/models HTTP/1.1\r\n", "host: x/y\r\n"),
        (400, "GET http://x/v1/models HTTP/1.1\r\n", "host: x\r\n"),
        (400, "CONNECT x:443 HTTP/1.1\r\n", "host: x\r\n"),
        (400, "GET /v1/models HTTP/1.1\n", "host: x\r\n"),
        (400, "GET /v1/models HTTP/1.1\r\n", "host: x\n"),
        (
            400,
            "GET /v1/models HTTP/1.1\r\n",
            "host: x\r\nx: a\r\n b\r\n",
        ),
        (400, "GET /v1/models HTTP/1.1\r\n", " host: x\r\n"),
        (400, "GET /v1/models HTTP/1.1\r\n", "host: x\r\nx: a\rb\r\n"),
        (400, "GET /v1/models HTTP/1.1\r\n", "host: x\r\nx: \0\r\n"),
        (400, "GET /v1/models HTTP/1.1\r\n", "host: x\r\nx\r\n"),
        (400, "GET /v1/models\r\n", "host: x\r\n"),
        (400, "GET  /v1/models HTTP/1.1\r\n", "host: x\r\n"),
        (400, "GET /v1/models HTTP/1.2\r\n", "host: x\r\n"),
        (400, "PRI * HTTP/2.0\r\n", "host: x\r\n"),
        (
            431,
            "GET /v1/models HTTP/1.1\r\n",
            &format!("host: x\r\n{many}"),
        ),
        (
            431,
            "GET /v1/models HTTP/1.1\r\n",
            &format!("host: x\r\n{long}"),
        ),
    ] {
        let request = format!("{request_line}{headers}{key}\r\n\r\n{SMUGGLED}");
        for port in [gateway.data, gateway.admin] {
            let reply = exchange(port, request.as_bytes()).await;
            assert_refused(&reply, request.as_bytes(), status);
        }
    }
    let rejected = &log.requests("unknown")[0];
    assert_eq!(rejected["status"], 400);
    assert_eq!(rejected["error_code"], "ambiguous_length");
    assert!(gateway.simulator.received().is_empty());
}

#[tokio::test]
async fn ambiguous_chunks_are_refused() {
    let gateway = Gateway::start().await;
    let body = user("Hi").to_string();
    let whole = format!("{:x}\r\n{body}\r\n", body.len());
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ntransfer-encoding: chunked\r\n"
    );
    for chunks in [
        format!("{:x}\n{body}\r\n0\r\n\r\n", body.len()),
        format!("+{whole}0\r\n\r\n"),
        format!("0x{whole}0\r\n\r\n"),
        format!(" {whole}0\r\n\r\n"),
        format!("{:x} \r\n{body}\r\n0\r\n\r\n", body.len()),
        format!("{:x};a\nb\r\n{body}\r\n0\r\n\r\n", body.len()),
        format!(
            "{:x};{}\r\n{body}\r\n0\r\n\r\n",
            body.len(),
            "a".repeat(1 << 20)
        ),
        format!("{:x}\r\n{body}0\r\n\r\n", body.len()),
        format!("10000000000000000\r\n{body}\r\n0\r\n\r\n"),
        format!("{whole}0\r\nno colon\r\n\r\n"),
        format!("{whole}0\n\n"),
    ] {
        let request = format!("{head}\r\n{chunks}{SMUGGLED}");
        let reply = exchange(gateway.data, request.as_bytes()).await;
        assert_refused(&reply, request.as_bytes(), 400);
        // The gateway asks for the body, so it arrives after the head.
        let mut client = TcpStream::connect(gateway.data).await.unwrap();
        let expecting = format!("{head}expect: 100-continue\r\n\r\n");
        client.write_all(expecting.as_bytes()).await.unwrap();
        let mut interim = [0; 25];
        client.read_exact(&mut interim).await.unwrap();
        let _ = client
            .write_all(format!("{chunks}{SMUGGLED}").as_bytes())
            .await;
        let mut reply = Vec::new();
        let read = timeout(PATIENCE, client.read_to_end(&mut reply)).await;
        assert!(read.is_ok(), "not closed after {}", chunks.escape_default());
        assert_refused(&String::from_utf8_lossy(&reply), chunks.as_bytes(), 400);
    }
    assert!(gateway.simulator.received().is_empty());
}

#[tokio::test]
async fn requests_that_follow_each_other_are_all_answered() {
    let gateway = Gateway::start().await;
    let body = user("Hi").to_string();
    let (first, second) = body.split_at(7);
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let request = format!(
        "{head}{:x}\r\n{first}\r\n{:X};ext=1\r\n{second}\r\n0\r\ntrailer: x\r\n\r\n",
        first.len(),
        second.len()
    );
    let last = "GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let reply = exchange(
        gateway.data,
        format!("{request}\r\n{request}{last}").as_bytes(),
    )
    .await;
    let statuses: Vec<&str> = reply
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|reply| &reply[..3])
        .collect();
    assert_eq!(statuses, ["200", "200", "401"], "{reply}");
}

/// A client that ends its side after a request (`nc -N`) used to lose an answer that was paid for.
#[tokio::test]
async fn half_closed_client_gets_its_answer() {
    let gateway = Gateway::start().await;
    for stream in [false, true] {
        let mut body = user("one two [simulate pace 100ms]");
        body["stream"] = stream.into();
        let body = body.to_string();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut client = TcpStream::connect(gateway.data).await.unwrap();
        client
            .write_all(format!("{head}{body}").as_bytes())
            .await
            .unwrap();
        client.shutdown().await.unwrap();
        let mut reply = String::new();
        timeout(PATIENCE, client.read_to_string(&mut reply))
            .await
            .unwrap()
            .unwrap();
        let end = if stream {
            "[DONE]"
        } else {
            "\"finish_reason\":\"stop\""
        };
        assert!(
            reply.contains("HTTP/1.1 200") && reply.contains(end),
            "{reply}"
        );
    }
}
