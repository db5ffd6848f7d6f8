//! Clients over TLS that do not read what they asked for, or read it slowly. TLS takes bytes that the client does not.

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{interval, timeout},
};
use tokio_rustls::client::TlsStream;

use crate::{
    support::{Gateway, KEY, PATIENCE, certificates::Authority, log::Log},
    tls::{connect, settings},
};

const ROUTE: &str = "/v1/embeddings";

/// Starts a gateway with this `keep_alive`, and asks it for several megabytes over TLS.
async fn ask_for_much(keep_alive: &str) -> (Gateway, TlsStream<TcpStream>) {
    let authority = Authority::new();
    let model = "[models.cohere]\ntarget = \"cohere.embed-v4:0\"\n";
    let settings = settings(&authority, model);
    let gateway = Gateway::start_with(&format!("keep_alive = \"{keep_alive}\"\n{settings}")).await;
    let mut stream = connect(&gateway, &authority, None, &["http/1.1"])
        .await
        .unwrap();
    let body = json!({"model": "cohere", "input": vec!["a"; 200]}).to_string();
    let request = format!(
        "POST {ROUTE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut beginning = [0; 12];
    stream.read_exact(&mut beginning).await.unwrap();
    assert_eq!(&beginning, b"HTTP/1.1 200");
    (gateway, stream)
}

#[tokio::test]
async fn row_32_client_over_tls_that_does_not_read_is_disconnected() {
    let log = Log::start();
    let (gateway, mut stream) = ask_for_much("300ms").await;
    gateway.until(async || log.requests(ROUTE).len() == 1).await;
    let mut rest = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    let read = read.expect("the connection is still open");
    assert!(
        read.is_err() || !rest.ends_with(b"}"),
        "the reply was cut off"
    );
}

#[tokio::test]
async fn row_32_client_over_tls_that_reads_slowly_and_steadily_gets_everything() {
    let (_gateway, mut stream) = ask_for_much("1s").await;
    let began = std::time::Instant::now();
    let mut ticks = interval(Duration::from_millis(20));
    let (mut part, mut last) = (vec![0; 64 * 1024], 0);
    loop {
        ticks.tick().await;
        match stream
            .read(&mut part)
            .await
            .expect("the client was cut off")
        {
            0 => break,
            read => last = part[read - 1],
        }
    }
    assert_eq!(last, b'}', "the reply is complete");
    assert!(
        began.elapsed() > Duration::from_secs(1),
        "longer than keep_alive"
    );
}
