//! TLS and HTTP/2 on the data port.

use std::sync::Arc;

use axum::body::Body;
use http::{Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn::http2::SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{
    Gateway, KEY, PATIENCE,
    certificates::{Authority, Issued},
    streamed, user,
};

pub fn settings(authority: &Authority, more: &str) -> String {
    let issued = authority.issue("gateway.test", "gateway");
    format!(
        "[server.tls]\ncert_file = \"{}\"\nkey_file = \"{}\"\n{more}\n",
        issued.cert_file.display(),
        issued.key_file.display()
    )
}

/// Connects with `alpn`, and with a client certificate if there is one.
pub async fn connect(
    gateway: &Gateway,
    authority: &Authority,
    client: Option<Issued>,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match client {
        Some(issued) => builder
            .with_client_auth_cert(vec![issued.certificate], issued.key)
            .unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(gateway.data).await?;
    let name = ServerName::try_from("gateway.test").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// Begins an HTTP/2 connection on `stream`.
async fn http2(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> SendRequest<Body> {
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    #[expect(clippy::disallowed_methods, reason = "ends with the test")]
    tokio::spawn(connection);
    sender
}

fn chat(key: Option<&str>, body: &Value) -> Request<Body> {
    let mut request = Request::post("https://gateway.test/v1/chat/completions");
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let request = request.header("content-type", "application/json");
    request.body(body.to_string().into()).unwrap()
}

async fn send(sender: &mut SendRequest<Body>, request: Request<Body>) -> Response<Incoming> {
    let response = timeout(PATIENCE, sender.send_request(request)).await;
    response.expect("no response in time").unwrap()
}

async fn text(response: Response<Incoming>) -> String {
    let body = timeout(PATIENCE, response.collect()).await;
    let body = body.expect("the body timed out").unwrap().to_bytes();
    String::from_utf8_lossy(&body).into_owned()
}

#[tokio::test]
async fn clients_of_both_protocols_are_served_over_tls() {
    let authority = Authority::new();
    let gateway = Gateway::start_with(&settings(&authority, "")).await;
    let stream = connect(&gateway, &authority, None, &["h2", "http/1.1"])
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut sender = http2(stream).await;
    let replies = (0..50).map(|_| {
        let mut sender = sender.clone();
        async move {
            let response = send(&mut sender, chat(Some(KEY), &streamed("Hi"))).await;
            assert_eq!(
                (response.version(), response.status()),
                (Version::HTTP_2, StatusCode::OK)
            );
            text(response).await
        }
    });
    for reply in futures_util::future::join_all(replies).await {
        assert!(reply.ends_with("data: [DONE]\n\n"), "{reply}");
    }
    let wrong = send(&mut sender, chat(Some("sk-wrong"), &user("Hi"))).await;
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);

    for alpn in [&["http/1.1"][..], &[]] {
        let mut stream = connect(&gateway, &authority, None, alpn).await.unwrap();
        stream
            .write_all(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 401"), "{reply}");
    }
}

#[tokio::test]
async fn client_certificates_stand_for_keys_and_are_checked_against_the_list() {
    let authority = Authority::new();
    let mtls = |allow: &str| {
        let key =
            "[keys.by_certificate]\nclient_certificates = [\"app.test\"]\nmodels = [\"claude\"]";
        let client_ca = authority.file();
        let more = format!(
            "client_ca_file = \"{}\"\n{allow}\n{key}",
            client_ca.display()
        );
        settings(&authority, &more)
    };
    let gateway = Gateway::start_with(&mtls("")).await;
    let alpn = &["h2"];
    let app = || Some(authority.issue("app.test", "app"));
    let stream = connect(&gateway, &authority, app(), alpn).await.unwrap();
    let mut sender = http2(stream).await;
    let mut body = user("Hi");
    body["model"] = "claude".into();
    assert_eq!(send(&mut sender, chat(None, &body)).await.status(), 200);
    body["model"] = "nova".into();
    // The key of the certificate may not use this model; a key in a header is preferred.
    assert_eq!(send(&mut sender, chat(None, &body)).await.status(), 403);
    assert_eq!(
        send(&mut sender, chat(Some(KEY), &body)).await.status(),
        200
    );
    let stranger = connect(&gateway, &authority, None, alpn).await.unwrap();
    let mut sender = http2(stranger).await;
    assert_eq!(send(&mut sender, chat(None, &body)).await.status(), 401);

    let gateway = Gateway::start_with(&mtls("allow = [\"app.test\"]")).await;
    let stream = connect(&gateway, &authority, app(), alpn).await.unwrap();
    let mut sender = http2(stream).await;
    assert_eq!(
        send(&mut sender, chat(Some(KEY), &body)).await.status(),
        200
    );
    let other = Some(authority.issue("other.test", "other"));
    let stream = connect(&gateway, &authority, other, alpn).await.unwrap();
    let refused = send(&mut http2(stream).await, chat(Some(KEY), &body)).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(text(refused).await.contains("certificate_not_allowed"));
    // Without a certificate the handshake fails, which the client notices when it reads.
    if let Ok(mut stream) = connect(&gateway, &authority, None, &[]).await {
        assert!(stream.read_u8().await.is_err());
    }
    let foreign = Authority::new().issue("app.test", "app");
    if let Ok(mut stream) = connect(&gateway, &authority, Some(foreign), &[]).await {
        assert!(stream.read_u8().await.is_err());
    }
}

#[tokio::test]
async fn half_a_handshake_is_closed_after_the_header_timeout() {
    let authority = Authority::new();
    let settings = format!("header_timeout = \"200ms\"\n{}", settings(&authority, ""));
    let gateway = Gateway::start_with(&settings).await;
    for bytes in [&b""[..], &[0x16, 3, 1, 2, 0, 1]] {
        let mut stream = TcpStream::connect(gateway.data).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let closed = timeout(PATIENCE, stream.read(&mut [0; 16])).await;
        assert!(matches!(
            closed.expect("not closed in time"),
            Ok(0) | Err(_)
        ));
    }
    // Plain HTTP on the port is no reason to hang.
    let mut stream = TcpStream::connect(gateway.data).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut reply = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut reply))
        .await
        .expect("not closed in time");
    assert!(!reply.starts_with(b"HTTP/"));
}

#[tokio::test]
async fn http2_without_tls_needs_h2c() {
    let gateway = Gateway::start_with("h2c = true").await;
    let stream = TcpStream::connect(gateway.data).await.unwrap();
    let mut sender = http2(stream).await;
    assert_eq!(
        send(&mut sender, chat(Some(KEY), &user("Hi")))
            .await
            .status(),
        200
    );
    assert_eq!(gateway.chat(&user("Hi")).await.status, StatusCode::OK);

    let gateway = Gateway::start().await;
    let mut stream = TcpStream::connect(gateway.data).await.unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 400"), "{reply}");
}

/// What hyper does not check: the host must be one.
#[tokio::test]
async fn http2_request_with_two_hosts_is_refused() {
    let gateway = Gateway::start_with("h2c = true").await;
    let stream = TcpStream::connect(gateway.data).await.unwrap();
    let mut sender = http2(stream).await;
    let mut request = chat(Some(KEY), &user("Hi"));
    request
        .headers_mut()
        .insert("host", "other.test".parse().unwrap());
    let refused = send(&mut sender, request).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert!(text(refused).await.contains("ambiguous_host"));
}

#[tokio::test]
async fn idle_http2_connection_is_closed_and_a_shutdown_lets_streams_finish() {
    let mut gateway = Gateway::start_with("h2c = true\nkeep_alive = \"200ms\"").await;
    let stream = TcpStream::connect(gateway.data).await.unwrap();
    let mut sender = http2(stream).await;
    assert_eq!(
        send(&mut sender, chat(Some(KEY), &user("Hi")))
            .await
            .status(),
        200
    );
    gateway.until(async || sender.is_closed()).await;

    let stream = TcpStream::connect(gateway.data).await.unwrap();
    let mut sender = http2(stream).await;
    let open = send(
        &mut sender,
        chat(Some(KEY), &streamed("[simulate slow 1s]")),
    )
    .await;
    gateway.shutdown.cancel();
    assert!(text(open).await.ends_with("data: [DONE]\n\n"));
    timeout(PATIENCE, &mut gateway.running)
        .await
        .expect("not stopped in time")
        .unwrap();
}

/// One client stops reading a stream, while its other streams go on.
#[tokio::test]
async fn stream_that_is_not_read_is_cut_off_alone() {
    let gateway =
        Gateway::start_with("h2c = true\nkeep_alive = \"300ms\"\nmax_in_flight = 1").await;
    let stream = TcpStream::connect(gateway.data).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(100)
        .handshake(TokioIo::new(stream))
        .await
        .unwrap();
    #[expect(clippy::disallowed_methods, reason = "ends with the test")]
    tokio::spawn(connection);
    // More than the gateway buffers of one response.
    let mut long = streamed("[simulate words 2000]");
    long["max_tokens"] = 4000.into();
    let stalled = send(&mut sender, chat(Some(KEY), &long)).await;
    // Its permit is free once it was cut off.
    gateway
        .until(async || {
            let mut sender = sender.clone();
            send(&mut sender, chat(Some(KEY), &user("Hi")))
                .await
                .status()
                == 200
        })
        .await;
    assert!(
        timeout(PATIENCE, stalled.collect())
            .await
            .expect("not cut off in time")
            .is_err()
    );
}

/// Its rejection could not be written, so it kept its connection for ever.
#[tokio::test]
async fn client_that_never_opens_its_window_is_disconnected() {
    let lines = "h2c = true\nkeep_alive = \"200ms\"\nheader_timeout = \"200ms\"";
    let gateway = Gateway::start_with(lines).await;
    for key in [None, Some(KEY)] {
        let stream = TcpStream::connect(gateway.data).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::Builder::new(TokioExecutor::new())
                .initial_stream_window_size(0)
                .handshake(TokioIo::new(stream))
                .await
                .unwrap();
        #[expect(clippy::disallowed_methods, reason = "ends with the test")]
        let connection = tokio::spawn(connection);
        let response = send(&mut sender, chat(key, &user("Hi"))).await;
        let ended = timeout(PATIENCE, connection).await;
        ended.expect("not disconnected in time").unwrap().ok();
        drop(response);
    }
}

#[tokio::test]
async fn http2_request_with_too_many_headers_is_refused() {
    let gateway = Gateway::start_with("h2c = true").await;
    let stream = TcpStream::connect(gateway.data).await.unwrap();
    let mut sender = http2(stream).await;
    let mut request = chat(Some(KEY), &user("Hi"));
    for nth in 0..100 {
        let name = format!("x-{nth}").parse::<http::HeaderName>().unwrap();
        request.headers_mut().insert(name, "a".parse().unwrap());
    }
    let refused = send(&mut sender, request).await;
    assert_eq!(
        refused.status(),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
    assert!(text(refused).await.contains("headers_too_large"));
}
