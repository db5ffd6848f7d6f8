//! Faults at the edges: readiness, slow administrators, a Bedrock that never comes to an end, and what the log says of them.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::{Router, body::Body};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::StatusCode;
use lintel::upstream::encode_frame;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    ADMIN_TOKEN, Gateway, PATIENCE,
    log::Log,
    money::{SETTINGS, booked, budget, key, of, standing},
    serve, simulator, streamed,
};

/// A role session as STS returns it, which expires within seconds.
fn session() -> String {
    let expires = SystemTime::now() + Duration::from_secs(3);
    let expires = jiff::Timestamp::try_from(expires).unwrap();
    format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
         <AccessKeyId>simulator</AccessKeyId><SecretAccessKey>simulator</SecretAccessKey>\
         <SessionToken>session</SessionToken><Expiration>{expires:.0}</Expiration>\
         </Credentials></AssumeRoleResult></AssumeRoleResponse>"
    )
}

/// Row 56. Was ready for a minute after the last success.
#[tokio::test]
async fn row_56_readiness_follows_the_credentials() {
    let works = Arc::new(AtomicBool::new(true));
    let has_sessions = works.clone();
    let sts = Router::new().fallback(move || {
        let works = has_sessions.load(Ordering::SeqCst);
        async move {
            match works {
                true => (StatusCode::OK, [("content-type", "text/xml")], session()),
                false => (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    [("content-type", "text/xml")],
                    String::new(),
                ),
            }
        }
    });
    let simulator = simulator();
    let aws = format!(
        "endpoint_url = \"http://{}\"\n\
         assume_role = {{ arn = \"arn:aws:iam::123456789012:role/lintel\" }}\n\
         endpoints = {{ sts = \"http://{}\" }}",
        serve(simulator.router()).await,
        serve(sts).await
    );
    let gateway = Gateway::start_at(simulator, &aws, "").await;
    let is_ready = async || gateway.admin("/readyz").await.0 == StatusCode::OK;
    assert!(is_ready().await);
    works.store(false, Ordering::SeqCst);
    gateway.until(async || !is_ready().await).await;
    works.store(true, Ordering::SeqCst);
    gateway.until(is_ready).await;
}

/// The data port has this limit, too. Here a client could take as long as it liked.
#[tokio::test]
async fn row_30_body_for_the_admin_api_that_trickles_is_refused() {
    let gateway = Gateway::start_with("header_timeout = \"200ms\"").await;
    let mut stream = TcpStream::connect(gateway.admin).await.unwrap();
    let head = format!(
        "POST /admin/keys HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN_TOKEN}\r\ncontent-length: 1000\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut reply = String::new();
    let read = timeout(PATIENCE, stream.read_to_string(&mut reply)).await;
    read.expect("still waiting for the body").unwrap();
    assert!(reply.starts_with("HTTP/1.1 408"), "{reply}");
    assert!(reply.contains("request_timeout"), "{reply}");
}

/// One event of ConverseStream.
fn event(name: &str, payload: &Value) -> Bytes {
    let headers = [
        (":event-type", name),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    encode_frame(&headers, payload.to_string().as_bytes())
}

fn text(text: &str) -> Bytes {
    let payload = json!({"contentBlockIndex": 0, "delta": {"text": text}});
    event("contentBlockDelta", &payload)
}

/// A gateway whose Bedrock answers every request with the events of `answer`.
async fn over<S>(answer: impl Fn() -> S + Clone + Send + Sync + 'static) -> Gateway
where
    S: Stream<Item = Bytes> + Send + 'static,
{
    let bedrock = Router::new().fallback(move || {
        let events = answer().map(Ok::<_, Infallible>);
        async move {
            (
                [("content-type", "application/vnd.amazon.eventstream")],
                Body::from_stream(events),
            )
        }
    });
    let aws = format!("endpoint_url = \"http://{}\"", serve(bedrock).await);
    let settings = SETTINGS.replace(
        "[models.priced]",
        "[models.priced]\nidle_timeout = \"100ms\"",
    );
    Gateway::start_at(simulator(), &aws, &settings).await
}

/// Sends a stream, and returns its last event and what was booked for it.
async fn broken(gateway: &Gateway) -> (Value, Vec<(String, i64, String)>) {
    let (id, secret) = key(gateway, budget(10.0)).await;
    let request = of("priced", streamed("Hi"));
    let reply = gateway.as_key(&secret, &request).await;
    assert_eq!(reply.status, StatusCode::OK);
    let events = reply.events();
    let last = serde_json::from_str(events.last().unwrap()).unwrap();
    gateway
        .until(async || standing(gateway, &id).await.1 == "0")
        .await;
    (last, booked(gateway, &id).await)
}

/// Each event put off the idle timeout, for ever.
#[tokio::test]
async fn row_45_events_without_content_do_not_keep_a_stream_open() {
    let gateway = over(|| {
        let pings = stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Some((event("somethingNew", &json!({})), ()))
        });
        stream::iter([text("Hello")]).chain(pings)
    })
    .await;
    let (last, booked) = broken(&gateway).await;
    assert_eq!(last["error"]["code"], "upstream_idle", "{last}");
    let message = last["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("no part of the answer for 0.5 s"),
        "{last}"
    );
    assert_eq!((booked[0].0.as_str(), booked[0].1), ("estimated", 1));
}

/// Each block was kept until its end, which never came.
#[tokio::test]
async fn row_51_answer_with_endless_blocks_is_ended() {
    is_ended(|index| {
        let call = json!({"toolUse": {"toolUseId": format!("t{index}"), "name": "f"}});
        let payload = json!({"contentBlockIndex": index, "start": call});
        event("contentBlockStart", &payload)
    })
    .await;
}

/// Each citation was kept until the end of its block.
#[tokio::test]
async fn row_51_answer_with_endless_citations_is_ended() {
    is_ended(|index| {
        // Citations alone would end by the idle timeout.
        if index.is_multiple_of(100) {
            return text("x");
        }
        let citation = json!({"title": "x", "sourceContent": [{"text": "y"}]});
        let payload = json!({"contentBlockIndex": 0, "delta": {"citation": citation}});
        event("contentBlockDelta", &payload)
    })
    .await;
}

/// Expects that an answer of such events is ended as malformed.
async fn is_ended(event: fn(u32) -> Bytes) {
    let gateway = over(move || {
        let events = stream::iter(1..).map(event);
        // The gateway leaves before the end.
        let events = events.take(20_000).chain(stream::pending());
        stream::iter([text("Hello")]).chain(events)
    })
    .await;
    let (last, booked) = broken(&gateway).await;
    assert_eq!(last["error"]["code"], "upstream_malformed", "{last}");
    let message = last["error"]["message"].as_str().unwrap();
    assert!(message.contains("content blocks"), "{last}");
    assert_eq!((booked[0].0.as_str(), booked[0].1), ("estimated", 1));
}

/// The usage of the client had a lower cost than the ledger, which charges the reserved input.
#[tokio::test]
async fn client_log_and_ledger_have_the_same_cost() {
    let log = Log::start();
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(10.0)).await;
    for (text, kind) in [("Hi", "actual"), ("[simulate no-metadata]", "estimated")] {
        let mut request = of("priced", streamed(text));
        request["stream_options"] = json!({"include_usage": true});
        let reply = gateway.as_key(&secret, &request).await;
        let events = reply.events();
        let last: Value = serde_json::from_str(events[events.len() - 2]).unwrap();
        gateway
            .until(async || standing(&gateway, &id).await.1 == "0")
            .await;
        let booked = booked(&gateway, &id).await;
        let (_, _, charged) = booked.iter().find(|row| row.0 == kind).unwrap();
        let line = log.requests("/v1/chat/completions").pop().unwrap();
        assert_eq!(line["cost_usd"], charged.as_str(), "{line}");
        assert_eq!(line["stream"], true);
        let told = last["usage"]["cost"].as_f64();
        assert_eq!(told, charged.parse().ok(), "{kind}: {last}");
    }
}

/// Was logged as a whole reply, because its response had not begun.
#[tokio::test]
async fn stream_whose_client_leaves_before_it_begins_is_logged_as_a_stream() {
    let log = Log::start();
    let settings = format!("{SETTINGS}\n[defaults]\non_disconnect = \"cancel\"");
    let gateway = Gateway::start_with(&settings).await;
    let request = streamed("[simulate slow 30s]");
    tokio::select! {
        reply = gateway.open(&request) => panic!("{}", reply.status()),
        () = gateway.until(async || !gateway.simulator.received().is_empty()) => {}
    }
    gateway
        .until(async || !log.requests("/v1/chat/completions").is_empty())
        .await;
    let line = log.requests("/v1/chat/completions").pop().unwrap();
    assert_eq!(
        (&line["status"], &line["stream"]),
        (&json!(499), &json!(true)),
        "{line}"
    );
}
