//! Connections to Bedrock: over real TLS, where servers offer HTTP/2, and where they fail.

use futures_util::future::join_all;
use http::StatusCode;
use lintel::simulator::{Simulator, encode_event};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    sync::mpsc,
    time::timeout,
};

use crate::support::{
    Gateway, KEY, PATIENCE,
    money::{SETTINGS, booked, budget, key, nano, of, standing},
    simulator, streamed,
    upstream::{Alpn, Certificate, Upstream, acceptor},
    user,
};

/// A model with a budget whose calls may take four seconds.
const CALM: &str = r#"
    [models.calm]
    target = "amazon.nova-lite-v1:0"
    max_tokens = 100
    price = { input = 2.0, output = 10.0 }
    timeout = "4s"
    [models.brief]
    target = "amazon.nova-lite-v1:0"
    max_tokens = 100
    price = { input = 2.0, output = 10.0 }
    timeout = "300ms"
    idle_timeout = "300ms"
    [models.near]
    target = "amazon.nova-lite-v1:0"
    max_tokens = 100
    price = { input = 2.0, output = 10.0 }
    timeout = "20s"
    connect_timeout = "100ms"
"#;

async fn start(simulator: Simulator, aws: &str) -> Gateway {
    Gateway::start_at(simulator, aws, &format!("{SETTINGS}{CALM}")).await
}

/// Sends one call of a key with a budget, and returns the status, the code of the error, and what the call was booked as.
async fn booked_call(gateway: &Gateway, model: &str, text: &str) -> (u16, String, (String, i64)) {
    let (id, secret) = key(gateway, budget(1.0)).await;
    let reply = gateway.as_key(&secret, &of(model, user(text))).await;
    gateway
        .until(async || standing(gateway, &id).await.1 == "0")
        .await;
    let booked = booked(gateway, &id).await;
    assert_eq!(booked.len(), 1, "{booked:?}");
    let code = match reply.status {
        StatusCode::OK => String::new(),
        _ => reply.error()["code"].as_str().unwrap().to_owned(),
    };
    (
        reply.status.as_u16(),
        code,
        (booked[0].0.clone(), nano(&booked[0].2)),
    )
}

/// On one HTTP/2 connection, 15 of these were 504 and booked as presumed spend, although they never left.
#[tokio::test]
async fn concurrent_calls_do_not_share_a_connection_with_a_limit_on_streams() {
    for alpn in [Alpn::Both, Alpn::Http1, Alpn::None] {
        concurrent_calls(alpn).await;
    }
}

async fn concurrent_calls(alpn: Alpn) {
    let simulator = simulator();
    let upstream = Upstream::tls(&simulator, Certificate::Good, alpn).await;
    let gateway = start(simulator, &upstream.trusted()).await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let request = of("calm", user("[simulate slow 2s]"));
    let calls = (0..25).map(|_| gateway.as_key(&secret, &request));
    for reply in join_all(calls).await {
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    gateway
        .until(async || standing(&gateway, &id).await.1 == "0")
        .await;
    let booked = booked(&gateway, &id).await;
    assert_eq!(
        (booked.len(), booked[0].0.as_str(), booked[0].1),
        (1, "actual", 25)
    );
    assert!(upstream.accepted() >= 25);
    // Their connections serve the next calls.
    let before = upstream.accepted();
    assert_eq!(gateway.chat(&user("Hi")).await.status, 200);
    assert_eq!(upstream.accepted(), before, "{alpn:?}");
}

/// On one HTTP/2 connection, the streams that nobody read used its window up, and the fifth client got a 504.
#[tokio::test]
async fn clients_that_stop_reading_do_not_slow_another() {
    for alpn in [Alpn::Both, Alpn::Http1] {
        unread_streams(alpn).await;
    }
}

async fn unread_streams(alpn: Alpn) {
    let simulator = simulator();
    let upstream = Upstream::tls(&simulator, Certificate::Good, alpn).await;
    let gateway = start(simulator, &upstream.trusted()).await;
    let mut unread = Vec::new();
    for _ in 0..4 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(gateway.data).await.unwrap();
        let mut request = of("calm", user("[simulate words 12000]"));
        request["stream"] = true.into();
        let body = request.to_string();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream
            .write_all(format!("{head}{body}").as_bytes())
            .await
            .unwrap();
        // The answer has begun. The rest stays unread.
        stream.read_u8().await.unwrap();
        unread.push(stream);
    }
    for _ in 0..5 {
        let reply = gateway.chat(&of("calm", user("Hi"))).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

/// Row 44. The black-holed connection was never replaced, because all calls shared it.
#[tokio::test]
async fn row_44_upstream_that_never_answers_is_a_504_and_its_connection_is_replaced() {
    let simulator = simulator();
    let (ends, mut ended) = mpsc::unbounded_channel();
    let acceptor = acceptor(Certificate::Good, Alpn::Both);
    let upstream = Upstream::start(move |stream| {
        let (acceptor, ends) = (acceptor.clone(), ends.clone());
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            let mut received = Vec::new();
            // Reads the request and stays silent until the gateway closes.
            let _ = stream.read_to_end(&mut received).await;
            let _ = ends.send(received.len());
        }
    })
    .await;
    let gateway = start(simulator, &upstream.trusted()).await;
    let (status, code, (kind, cost)) = booked_call(&gateway, "brief", "Hi").await;
    assert_eq!((status, code.as_str()), (504, "upstream_timeout"));
    assert_eq!(kind, "presumed", "it may be on the bill");
    assert!(cost > 0);
    let received = timeout(PATIENCE, ended.recv()).await.unwrap();
    assert!(
        received.unwrap() > 0,
        "the request had left, and its connection is closed"
    );
    booked_call(&gateway, "brief", "Hi").await;
    assert_eq!(
        upstream.accepted(),
        2,
        "a call after it gets a new connection"
    );
}

/// Row 45.
#[tokio::test]
async fn row_45_upstream_that_stalls_ends_the_stream_with_an_error_and_its_connection_is_closed() {
    let (ends, mut ended) = mpsc::unbounded_channel();
    let acceptor = acceptor(Certificate::Good, Alpn::Both);
    let upstream = Upstream::start(move |stream| {
        let (acceptor, ends) = (acceptor.clone(), ends.clone());
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            // The first event is sent, and the message never ends.
            let event = encode_event(
                "contentBlockDelta",
                r#"{"contentBlockIndex":0,"delta":{"text":"Hello"}}"#,
            );
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\n\
                 transfer-encoding: chunked\r\n\r\n{:x}\r\n",
                event.len()
            );
            let mut received = [0];
            stream.read_exact(&mut received).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&event).await.unwrap();
            stream.write_all(b"\r\n").await.unwrap();
            stream.flush().await.unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            let _ = ends.send(());
        }
    })
    .await;
    let gateway = start(simulator(), &upstream.trusted()).await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let reply = gateway.as_key(&secret, &of("brief", streamed("Hi"))).await;
    let events = reply.events();
    assert!(events[events.len() - 2].contains("Hello"), "{events:?}");
    let error: serde_json::Value = serde_json::from_str(events[events.len() - 1]).unwrap();
    assert_eq!(error["error"]["code"], "upstream_idle");
    gateway
        .until(async || standing(&gateway, &id).await.1 == "0")
        .await;
    let booked = booked(&gateway, &id).await;
    assert_eq!((booked.len(), booked[0].1), (1, 1));
    assert!(nano(&booked[0].2) > 0, "what was written costs");
    timeout(PATIENCE, ended.recv()).await.unwrap();
}

/// What follows a damaged frame cannot be trusted either.
#[tokio::test]
async fn row_47_connection_with_a_damaged_frame_is_not_used_again() {
    let simulator = simulator();
    let upstream = Upstream::tls(&simulator, Certificate::Good, Alpn::Http1).await;
    let gateway = start(simulator, &upstream.trusted()).await;
    for _ in 0..2 {
        let reply = gateway.chat(&of("calm", user("Hi"))).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    assert_eq!(upstream.accepted(), 1, "good replies share a connection");
    let text = "one two three four five six [simulate bad-crc]";
    let reply = gateway.chat(&of("calm", streamed(text))).await;
    assert!(reply.text().contains("upstream_checksum"));
    let reply = gateway.chat(&of("calm", user("Hi"))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(upstream.accepted(), 2);
}

/// Was booked as presumed spend: a request counted as sent once the gateway wanted to send it.
#[tokio::test]
async fn call_that_got_no_connection_is_free() {
    // Accepts, but never answers the handshake.
    let silent = Upstream::start(async |stream| {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let gateway = start(simulator(), &silent.trusted()).await;
    let (status, code, booked) = booked_call(&gateway, "brief", "Hi").await;
    assert_eq!((status, code.as_str()), (504, "upstream_timeout"));
    assert_eq!(booked, ("actual".to_owned(), 0));
    let (status, code, booked) = booked_call(&gateway, "near", "Hi").await;
    assert_eq!((status, code.as_str()), (503, "connect_timeout"));
    assert_eq!(booked, ("actual".to_owned(), 0));
    // Closes every connection at once.
    let closing = Upstream::start(async |_| {}).await;
    let gateway = start(simulator(), &closing.trusted()).await;
    let (status, code, booked) = booked_call(&gateway, "calm", "Hi").await;
    assert_eq!((status, code.as_str()), (503, "upstream_unreachable"));
    assert_eq!(booked, ("actual".to_owned(), 0));
    // Refuses the connection.
    let gateway = start(simulator(), "endpoint_url = \"http://127.0.0.1:1\"").await;
    let (status, code, booked) = booked_call(&gateway, "calm", "Hi").await;
    assert_eq!((status, code.as_str()), (503, "upstream_unreachable"));
    assert_eq!(booked, ("actual".to_owned(), 0));
}

/// Row 59. Was a 503, which clients repeat.
#[tokio::test]
async fn row_59_untrusted_certificate_is_a_502_and_nothing_is_sent() {
    for (certificate, is_trusted) in [
        (Certificate::Elsewhere, true),
        (Certificate::Expired, true),
        (Certificate::Good, false),
    ] {
        let simulator = simulator();
        let upstream = Upstream::tls(&simulator, certificate, Alpn::Both).await;
        let aws = match is_trusted {
            true => upstream.trusted(),
            false => format!("endpoint_url = \"https://localhost:{}\"", upstream.port),
        };
        let gateway = start(simulator, &aws).await;
        let (status, code, booked) = booked_call(&gateway, "calm", "Hi").await;
        assert_eq!(
            (status, code.as_str()),
            (502, "upstream_untrusted"),
            "{certificate:?}"
        );
        assert_eq!(booked, ("actual".to_owned(), 0), "{certificate:?}");
        assert_eq!(gateway.simulator.received().len(), 0, "{certificate:?}");
    }
}

/// Row 58.
#[tokio::test]
async fn row_58_name_without_an_address_is_a_503_and_free() {
    let gateway = start(simulator(), "endpoint_url = \"https://bedrock.invalid\"").await;
    let (status, code, booked) = booked_call(&gateway, "calm", "Hi").await;
    assert_eq!((status, code.as_str()), (503, "upstream_unreachable"));
    assert_eq!(booked, ("actual".to_owned(), 0));
}
