//! The admin port: health, readiness and metrics.

use http::StatusCode;

use crate::support::{Gateway, streamed, user};

#[tokio::test]
async fn health_and_readiness_make_no_call_to_bedrock() {
    let gateway = Gateway::start().await;
    assert_eq!(gateway.admin("/healthz").await.0, StatusCode::OK);
    assert_eq!(gateway.admin("/readyz").await.0, StatusCode::OK);
    assert_eq!(gateway.admin("/admin/keys").await.0, StatusCode::FORBIDDEN);
    assert_eq!(gateway.admin("/v1/models").await.0, StatusCode::NOT_FOUND);
    assert!(gateway.simulator.received().is_empty());
}

#[tokio::test]
async fn metrics_count_requests_streams_and_tokens() {
    let gateway = Gateway::start().await;
    let mut request = user("Hi");
    request["model"] = "nova".into();
    gateway.chat(&request).await;
    let mut request = streamed("one two three four [simulate bad-crc]");
    request["model"] = "nova".into();
    gateway.chat(&request).await;
    request["model"] = "junk-model-name".into();
    gateway.chat(&request).await;
    let (_, metrics) = gateway.admin("/metrics").await;
    for expected in [
        r#"gen_ai_server_request_duration_seconds_count{operation="chat",request_model="nova",error_type=""}"#,
        r#"gen_ai_client_token_usage_sum{operation="chat",provider="aws.bedrock",request_model="nova",token_type="output"}"#,
        r#"lintel_stream_end_total{model="nova",how="crc"} 1"#,
        r#"lintel_upstream_requests_total{region="us-west-2",model="nova",code="ok",retried="false"}"#,
        r#"lintel_inflight_requests{model="nova"} 0"#,
        r#"lintel_inflight_streams{model="nova"} 0"#,
        r#"lintel_http_requests_total{route="/v1/chat/completions",method="POST",status="404",reason="invalid"}"#,
        "lintel_build_info{version=",
        "lintel_connections ",
        "process_resident_memory_bytes",
    ] {
        assert!(
            metrics.contains(expected),
            "{expected} is not in\n{metrics}"
        );
    }
    assert!(
        !metrics.contains("junk-model-name"),
        "an unknown model name must not become a label"
    );
}
