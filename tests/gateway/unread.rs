//! What clients that do not read, or have left, keep occupied.

use http::StatusCode;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::support::{Gateway, KEY, log::Log, user};

const COHERE: &str = "[models.cohere]\ntarget = \"cohere.embed-v4:0\"\n";

/// Asks for a reply of several megabytes on a connection that takes only the beginning of it.
async fn ask_for_much(gateway: &Gateway) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(gateway.data).await.unwrap();
    let body = json!({"model": "cohere", "input": vec!["a"; 200]}).to_string();
    let request = format!(
        "POST /v1/embeddings HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// The permit of a whole reply was free once hyper had it, so any number of replies waited in memory for slow clients.
#[tokio::test]
async fn whole_reply_holds_its_permit_until_it_is_read() {
    let log = Log::start();
    let gateway = Gateway::start_with(&format!("max_in_flight = 1\n{COHERE}")).await;
    let mut slow = ask_for_much(&gateway).await;
    let mut beginning = [0; 12];
    slow.read_exact(&mut beginning).await.unwrap();
    assert_eq!(&beginning, b"HTTP/1.1 200");
    let reply = gateway.chat(&user("Hi")).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(log.requests("/v1/embeddings").is_empty(), "not ended");
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(b"}"));
    gateway
        .until(async || gateway.chat(&user("Hi")).await.status == StatusCode::OK)
        .await;
    assert_eq!(log.requests("/v1/embeddings").len(), 1);
}

/// The memory of a body was free once its client had left, although its call went on.
#[tokio::test]
async fn call_that_outlives_its_client_counts_as_a_buffered_body() {
    let gateway =
        Gateway::start_with("max_buffered_bodies = \"64KiB\"\nmax_body = \"64KiB\"").await;
    let text = "x".repeat(40_000);
    let large = user(&format!("[simulate slow 30s] {text}"));
    tokio::select! {
        reply = gateway.chat(&large) => panic!("{}", reply.text()),
        () = gateway.until(async || !gateway.simulator.received().is_empty()) => {}
    }
    // The gateway learns of it a moment later, and must not count it less then.
    for _ in 0..20 {
        let reply = gateway.chat(&user(&text)).await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(gateway.chat(&user("Hi")).await.status, StatusCode::OK);
}
