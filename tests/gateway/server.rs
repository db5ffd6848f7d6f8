//! Connections: size limits, timeouts, capacity and graceful shutdown.

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{Gateway, KEY, PATIENCE, streamed, user};

fn head(gateway: &Gateway, body_length: usize) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\ncontent-length: {body_length}\r\n\r\n",
        gateway.data
    )
}

/// Reads until `needle` arrives or the connection ends.
async fn read_until(stream: &mut TcpStream, needle: &str) -> String {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = timeout(PATIENCE, stream.read(&mut buffer))
            .await
            .expect("nothing arrived in time")
            .unwrap_or(0);
        seen.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&seen).into_owned();
        if read == 0 || text.contains(needle) {
            return text;
        }
    }
}

/// The connection closed without a word, so the client lost its next request.
#[tokio::test]
async fn early_response_says_that_the_connection_closes() {
    let gateway = Gateway::start().await;
    let refused = [
        ("POST /v1/chat/completions", "401"),
        ("POST /v1/nothing", "404"),
        ("PUT /v1/models", "405"),
    ];
    for (line, status) in refused {
        let mut stream = TcpStream::connect(gateway.data).await.unwrap();
        let head = format!("{line} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let reply = read_until(&mut stream, "never").await;
        assert!(reply.starts_with(&format!("HTTP/1.1 {status}")), "{reply}");
        assert!(reply.contains("connection: close"), "{reply}");
    }
    let whole = "GET /v1/nothing HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2);
    let mut stream = TcpStream::connect(gateway.data).await.unwrap();
    stream.write_all(whole.as_bytes()).await.unwrap();
    let mut replies = String::new();
    while replies.matches("HTTP/1.1").count() < 2 {
        replies += &read_until(&mut stream, "}").await;
    }
    assert!(!replies.contains("connection: close"), "{replies}");
}

/// The connection was closed although the body had arrived.
#[tokio::test]
async fn body_of_another_type_leaves_the_connection_open() {
    let gateway = Gateway::start().await;
    let mut stream = TcpStream::connect(gateway.data).await.unwrap();
    for header in ["content-type: text/plain", "content-encoding: gzip"] {
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n{header}\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let reply = read_until(&mut stream, "unsupported_").await;
        assert!(reply.contains("HTTP/1.1 415"), "{reply}");
        assert!(!reply.contains("connection: close"), "{reply}");
    }
}

#[tokio::test]
async fn body_over_the_limit_is_rejected_unread() {
    let gateway = Gateway::start_with(r#"max_body = "1000B""#).await;
    // The body has the length that the head declares, but is never sent.
    let mut stream = TcpStream::connect(gateway.data).await.unwrap();
    stream
        .write_all(head(&gateway, 1001).as_bytes())
        .await
        .unwrap();
    let reply = read_until(&mut stream, "request_too_large").await;
    assert!(reply.starts_with("HTTP/1.1 413"), "{reply}");
    assert!(reply.contains("connection: close"), "{reply}");
    assert_eq!(
        read_until(&mut stream, "never")
            .await
            .matches("HTTP/1.1")
            .count(),
        0,
        "the connection is closed"
    );
    // The body is chunked, without a declared length.
    let parts = (0..20).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 100])));
    let reply = gateway.post(Body::from_stream(stream::iter(parts))).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(gateway.simulator.received().is_empty());
}

#[tokio::test]
async fn stalled_body_times_out() {
    let gateway = Gateway::start_with(r#"header_timeout = "200ms""#).await;
    let mut stream = TcpStream::connect(gateway.data).await.unwrap();
    stream
        .write_all(format!("{}{{\"model\"", head(&gateway, 100)).as_bytes())
        .await
        .unwrap();
    let reply = read_until(&mut stream, "request_timeout").await;
    assert!(reply.starts_with("HTTP/1.1 408"), "{reply}");
}

#[tokio::test]
async fn stalled_head_times_out() {
    let gateway = Gateway::start_with(r#"header_timeout = "200ms""#).await;
    let mut stream = TcpStream::connect(gateway.data).await.unwrap();
    stream
        .write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n")
        .await
        .unwrap();
    let reply = read_until(&mut stream, "never").await;
    assert!(reply.starts_with("HTTP/1.1 408"), "{reply}");
    assert!(reply.contains("request_timeout"), "{reply}");
}

#[tokio::test]
async fn connection_is_reused_for_several_requests() {
    let gateway = Gateway::start().await;
    let mut stream = TcpStream::connect(gateway.data).await.unwrap();
    let body = user("Hi").to_string();
    for _ in 0..3 {
        stream
            .write_all(format!("{}{body}", head(&gateway, body.len())).as_bytes())
            .await
            .unwrap();
        let reply = read_until(&mut stream, "rejected_prediction_tokens\":0},\"cost\":").await;
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    }
}

/// An early response must arrive although the client is still sending.
#[tokio::test]
async fn early_rejection_is_not_lost_to_a_reset() {
    let gateway = Gateway::start_with(r#"max_body = "1000B""#).await;
    let mut stream = TcpStream::connect(gateway.data).await.unwrap();
    let body = vec![b' '; 500_000];
    stream
        .write_all(head(&gateway, body.len()).as_bytes())
        .await
        .unwrap();
    stream.write_all(&body).await.unwrap();
    let reply = read_until(&mut stream, "request_too_large").await;
    assert!(reply.starts_with("HTTP/1.1 413"), "{reply}");
}

#[tokio::test]
async fn oversized_head_is_rejected() {
    let gateway = Gateway::start().await;
    for junk in [
        format!("x: {}\r\n", "a".repeat(1 << 20)),
        "x: y\r\n".repeat(101),
    ] {
        let mut stream = TcpStream::connect(gateway.data).await.unwrap();
        let request = format!("GET /v1/models HTTP/1.1\r\nhost: x\r\n{junk}\r\n");
        // The gateway may close the connection while the test is still writing.
        let _ = stream.write_all(request.as_bytes()).await;
        let reply = read_until(&mut stream, "headers_too_large").await;
        assert!(reply.starts_with("HTTP/1.1 431"), "{reply}");
    }
}

#[tokio::test]
async fn requests_beyond_max_in_flight_are_shed() {
    let gateway = Gateway::start_with("max_in_flight = 1").await;
    let mut stream = TcpStream::connect(gateway.data).await.unwrap();
    let body = streamed("one two three [simulate stall]").to_string();
    stream
        .write_all(format!("{}{body}", head(&gateway, body.len())).as_bytes())
        .await
        .unwrap();
    read_until(&mut stream, "You").await;
    // The permit is held until the stream ends, not only until its headers are sent.
    let reply = gateway.chat(&user("Hi")).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.error()["code"], "overloaded");
    assert_eq!(reply.header("retry-after"), Some("1"));
    drop(stream);
    // The permit is released once the gateway notices the disconnect.
    let freed = async {
        while gateway.chat(&user("Hi")).await.status != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, freed).await.expect("the permit leaked");
}

/// Fifty sockets that once asked for a path and fell silent used to keep every client out.
#[tokio::test]
async fn idle_strangers_do_not_keep_a_client_out() {
    let gateway = Gateway::start_with("max_connections = 50").await;
    let mut strangers = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(gateway.data).await.unwrap();
        stream
            .write_all(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        read_until(&mut stream, "invalid_api_key").await;
        strangers.push(stream);
    }
    assert_eq!(gateway.chat(&user("Hi")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn one_address_has_a_limit_of_connections() {
    let gateway = Gateway::start_with("max_connections_per_address = 2").await;
    let request = format!("GET /v1/models HTTP/1.1\r\nhost: x\r\napi-key: {KEY}\r\n\r\n");
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(gateway.data).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        read_until(&mut stream, "claude").await;
        open.push(stream);
    }
    let mut third = TcpStream::connect(gateway.data).await.unwrap();
    let _ = third.write_all(request.as_bytes()).await;
    assert_eq!(read_until(&mut third, "claude").await, "");
    let shed = "lintel_shed_total{cause=\"connections\"} 1";
    assert!(gateway.admin("/metrics").await.1.contains(shed));
}

#[tokio::test]
async fn browser_may_send_its_key_from_a_configured_origin() {
    let gateway = Gateway::start_with(r#"cors_origins = ["https://app.example"]"#).await;
    let request = gateway
        .request(http::Method::OPTIONS, "/v1/chat/completions")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,content-type",
        );
    let reply = gateway.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(
        reply.header("access-control-allow-origin"),
        Some("https://app.example")
    );
    assert_eq!(
        reply.header("access-control-allow-headers"),
        Some("authorization,content-type")
    );
}

#[tokio::test]
async fn shutdown_lets_streams_finish() {
    let mut gateway = Gateway::start().await;
    let mut stream = TcpStream::connect(gateway.data).await.unwrap();
    let body = streamed("[simulate words 40] [simulate pace 10ms]").to_string();
    stream
        .write_all(format!("{}{body}", head(&gateway, body.len())).as_bytes())
        .await
        .unwrap();
    read_until(&mut stream, "word").await;
    gateway.shutdown.cancel();
    assert!(read_until(&mut stream, "[DONE]").await.contains("[DONE]"));
    timeout(PATIENCE, &mut gateway.running)
        .await
        .expect("the gateway did not stop in time")
        .unwrap();
    assert!(
        TcpStream::connect(gateway.data).await.is_err(),
        "the port is closed"
    );
}

#[tokio::test]
async fn streams_that_outlive_drain_timeout_end_with_an_error_event() {
    let mut gateway = Gateway::start_with(r#"drain_timeout = "200ms""#).await;
    let mut stream = TcpStream::connect(gateway.data).await.unwrap();
    let body = streamed("one two three [simulate stall]").to_string();
    stream
        .write_all(format!("{}{body}", head(&gateway, body.len())).as_bytes())
        .await
        .unwrap();
    read_until(&mut stream, "You").await;
    gateway.shutdown.cancel();
    let rest = read_until(&mut stream, "shutting_down").await;
    assert!(
        rest.contains("shutting_down") && !rest.contains("[DONE]"),
        "{rest}"
    );
    timeout(PATIENCE, &mut gateway.running)
        .await
        .expect("the gateway did not stop in time")
        .unwrap();
}

/// Load balancers see that the gateway is not ready before it stops to accept.
#[tokio::test]
async fn shutdown_waits_for_load_balancers_before_it_closes_the_port() {
    let lines = "pre_stop = \"500ms\"\nkeep_alive = \"1s\"";
    let mut gateway = Gateway::start_with(lines).await;
    gateway.shutdown.cancel();
    assert_eq!(
        gateway.admin("/readyz").await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(gateway.chat(&user("Hi")).await.status, StatusCode::OK);
    timeout(PATIENCE, &mut gateway.running)
        .await
        .expect("the gateway did not stop in time")
        .unwrap();
}

#[tokio::test]
async fn stream_is_committed_before_its_first_token_if_it_is_configured() {
    let gateway = Gateway::start_with("commit_after = \"50ms\"").await;
    let reply = gateway.chat(&streamed("[simulate slow 300ms]")).await;
    assert_eq!(reply.status, StatusCode::OK);
    let text = reply.text();
    assert!(text.starts_with(": waiting\n\ndata: {\"id\""), "{text}");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");

    // An error arrives as an event, without [DONE].
    let mut hasty = streamed("[simulate hang]");
    hasty["model"] = "hasty".into();
    let reply = gateway.chat(&hasty).await;
    assert_eq!(reply.status, StatusCode::OK);
    let text = reply.text();
    assert!(text.contains("data: {\"error\":{\"message\""), "{text}");
    assert!(
        text.contains("first_token_timeout") && !text.contains("[DONE]"),
        "{text}"
    );

    // It names the member, as an error with a status does.
    let reply = gateway
        .chat(&streamed("[simulate slow 300ms] [simulate too-long]"))
        .await;
    let text = reply.text();
    assert!(
        text.contains("context_length_exceeded") && text.contains("\"param\":\"messages\""),
        "{text}"
    );

    // What fails earlier has its status, and so have whole replies.
    assert_eq!(
        gateway.chat(&streamed("[simulate throttle]")).await.status,
        429
    );
    hasty["stream"] = false.into();
    assert_eq!(
        gateway.chat(&hasty).await.status,
        StatusCode::GATEWAY_TIMEOUT
    );
}
