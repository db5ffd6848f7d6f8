//! Faults on the way to one region, while another works.

use bytes::Bytes;
use http::StatusCode;
use lintel::simulator::{ScriptedReply, encode_event};
use serde_json::Value;

use super::{SPREAD, both};
use crate::support::{
    regions::Regions,
    simulator,
    upstream::{Alpn, Certificate, Upstream},
};

/// Another region is asked if the first one's stream is damaged before the client has anything of it.
#[tokio::test]
async fn rows_46_and_47_stream_that_is_damaged_before_its_first_token_moves() {
    let regions = Regions::start(SPREAD).await;
    let start = encode_event("messageStart", r#"{"role":"assistant"}"#);
    let mut damaged = start.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let mut absurd = start.to_vec();
    absurd[..4].copy_from_slice(&u32::MAX.to_be_bytes());
    let [_, streamed]: [Value; 2] = both();
    for (nth, first) in [
        start.slice(..20),
        damaged.into(),
        absurd.into(),
        Bytes::new(),
    ]
    .into_iter()
    .enumerate()
    {
        regions.east.script(ScriptedReply::stream(vec![first]));
        let reply = regions.gateway.chat(&streamed).await;
        assert_eq!(reply.status, StatusCode::OK, "{nth}: {}", reply.text());
        assert_eq!(reply.header("x-lintel-region"), Some("us-west-2"), "{nth}");
        assert_eq!(reply.content(), "You said: Hi", "{nth}");
        assert!(reply.text().ends_with("data: [DONE]\n\n"), "{nth}");
        assert_eq!(regions.received(), [nth + 1, nth + 1, 0]);
    }
}

#[tokio::test]
async fn row_59_region_with_an_untrusted_certificate_is_left_at_once_and_gets_nothing() {
    let east = simulator();
    let upstream = Upstream::tls(&east, Certificate::Good, Alpn::Both).await;
    let url = format!("https://localhost:{}", upstream.port);
    let regions = Regions::start_at(east, &url, SPREAD).await;
    for request in both() {
        let reply = regions.gateway.chat(&request).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert_eq!(reply.header("x-lintel-region"), Some("us-west-2"));
        let warnings = reply.header("x-lintel-warnings").unwrap();
        assert!(warnings.contains("upstream_untrusted"), "{warnings}");
    }
    assert!(upstream.accepted() > 0, "it was asked");
    assert_eq!(regions.received(), [0, 2, 0]);
}
