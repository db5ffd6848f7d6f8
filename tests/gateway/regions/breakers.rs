//! Circuit breakers: when a region is left alone, and what happens if no other is left.

use futures_util::future::join_all;
use http::StatusCode;
use tokio_util::sync::CancellationToken;

use crate::support::{
    regions::{Regions, ask, failure},
    upstream::Upstream,
};

const MODELS: &str = r#"
    [models.two-breakers]
    target = "amazon.nova-lite-v1:0"
    regions = ["us-east-1", "us-west-2"]
    [models.one-breaker]
    target = "amazon.nova-micro-v1:0"
    [models.throttled-breaker]
    target = "amazon.nova-pro-v1:0"
    regions = ["us-east-1", "us-west-2"]
"#;

fn fail(regions: &Regions, count: usize, status: u16, name: &str) {
    (0..count).for_each(|_| regions.east.script(failure(status, name)));
}

#[tokio::test]
async fn row_39_region_that_fails_is_left_alone_after_twenty_requests() {
    let regions = Regions::start(MODELS).await;
    fail(&regions, 20, 503, "ServiceUnavailableException");
    for _ in 0..25 {
        let region = regions.region_of("two-breakers", "Hi").await;
        assert_eq!(region, "us-west-2");
    }
    assert_eq!(
        regions.received(),
        [20, 25, 0],
        "the last five did not try it"
    );
    let (status, ready) = regions.gateway.admin("/readyz").await;
    assert_eq!(status, StatusCode::OK, "another region answers");
    let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
    let broken = &ready["circuit_breakers"];
    assert_eq!(broken[0]["model"], "two-breakers", "{ready}");
    assert_eq!(broken[0]["region"], "us-east-1");
    assert_eq!(broken[0]["state"], "open");
    let (_, metrics) = regions.gateway.admin("/metrics").await;
    let gauge = "lintel_breaker_state{region=\"us-east-1\",model=\"two-breakers\"} 2";
    assert!(metrics.contains(gauge), "{metrics}");
    assert!(metrics.contains("lintel_failovers_total{from=\"us-east-1\",to=\"us-west-2\",model=\"two-breakers\",code=\"upstream_unavailable\"} 20"));
}

#[tokio::test]
async fn throttling_opens_no_breaker() {
    let regions = Regions::start(MODELS).await;
    for _ in 0..25 {
        let mut throttled = failure(429, "ThrottlingException");
        throttled.headers.push(("retry-after".into(), "1".into()));
        regions.east.script(throttled.clone());
        regions.west.script(throttled);
        let reply = regions.gateway.chat(&ask("throttled-breaker", "Hi")).await;
        assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    }
    let (_, ready) = regions.gateway.admin("/readyz").await;
    assert!(!ready.contains("throttled-breaker"), "{ready}");
}

/// Without another region, one call at a time finds out whether the model works again. The others need not wait for it.
#[tokio::test]
async fn one_call_at_a_time_is_sent_if_no_healthy_region_is_left() {
    let regions = Regions::start(MODELS).await;
    fail(&regions, 20, 503, "ServiceUnavailableException");
    let request = ask("one-breaker", "Hi");
    for _ in 0..20 {
        let reply = regions.gateway.chat(&request).await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    let slow = ask("one-breaker", "[simulate slow 500ms]");
    let calls = (0..5).map(|_| regions.gateway.chat(&slow));
    let replies = join_all(calls).await;
    let answered = replies
        .iter()
        .filter(|reply| reply.status == StatusCode::OK);
    assert_eq!(answered.count(), 1);
    assert_eq!(regions.received()[0], 21);
    for reply in replies
        .iter()
        .filter(|reply| reply.status != StatusCode::OK)
    {
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
        let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=5).contains(&wait), "{wait}");
        assert_eq!(reply.header("x-lintel-attempts"), Some("0"));
    }
    // It has answered, so a few more may find out.
    assert_eq!(regions.region_of("one-breaker", "Hi").await, "us-east-1");
    assert_eq!(regions.region_of("one-breaker", "Hi").await, "us-east-1");
    let (_, ready) = regions.gateway.admin("/readyz").await;
    assert!(!ready.contains("one-breaker"), "{ready}");
}

/// A fifth of the calls may be retried, so without a breaker most calls to a dead region would fail.
#[tokio::test]
async fn no_call_fails_while_a_region_dies_under_load() {
    let east = crate::support::simulator();
    let address = crate::support::serve(east.router()).await;
    let death = CancellationToken::new();
    let dies = death.clone();
    let wire = Upstream::start(move |mut client| {
        let dies = dies.clone();
        async move {
            if dies.is_cancelled() {
                return;
            }
            let mut server = tokio::net::TcpStream::connect(address).await.unwrap();
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                () = dies.cancelled() => {}
            }
        }
    })
    .await;
    let url = format!("http://127.0.0.1:{}", wire.port);
    let regions = Regions::start_at(east, &url, MODELS).await;
    let request = ask("two-breakers", "Hi");
    for round in 0..8 {
        let calls = join_all((0..25).map(|_| regions.gateway.chat(&request)));
        let dies = async {
            if round == 3 {
                // Some of the calls are under way.
                regions
                    .gateway
                    .until(async || regions.received()[0] > 80)
                    .await;
                death.cancel();
            }
        };
        let (replies, ()) = tokio::join!(calls, dies);
        for reply in replies {
            assert_eq!(reply.status, StatusCode::OK, "{round}: {}", reply.text());
        }
    }
    assert!(regions.received()[1] >= 100, "{:?}", regions.received());
}

#[tokio::test]
async fn state_of_every_configured_target_is_exported_from_the_start() {
    let regions = Regions::start(
        r#"
        [models.never-called]
        target = "amazon.nova-lite-v1:0"
        regions = ["us-east-1", "us-west-2"]
        "#,
    )
    .await;
    let (_, metrics) = regions.gateway.admin("/metrics").await;
    for region in ["us-east-1", "us-west-2"] {
        let gauge = format!("lintel_breaker_state{{region=\"{region}\",model=\"never-called\"}} 0");
        assert!(metrics.contains(&gauge), "{metrics}");
    }
}
