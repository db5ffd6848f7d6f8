//! Lists, maps and bodies that would need many times their size in memory are rejected while they are read.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Gateway, user};

/// The old code read all of each list, and rejected some of them afterwards.
#[tokio::test]
async fn lists_and_maps_above_their_caps_are_rejected_by_name() {
    let gateway = Gateway::start().await;
    let message = json!({"role": "user", "content": "Hi"});
    let texts = |count| json!(vec!["a"; count]);
    let map = |count: usize| {
        let pairs = (0..count).map(|n| (n.to_string(), json!("")));
        Value::Object(pairs.collect())
    };
    let function = json!({"name": "f"});
    let named = json!({"type": "function", "function": {"name": "f"}});
    for (member, value, param, max) in [
        (
            "messages",
            json!(vec![message; 10_001]),
            "messages",
            "10000 items",
        ),
        (
            "messages",
            json!([{"role": "user", "content": vec![json!({"type": "text", "text": "a"}); 10_001]}]),
            "messages[0].content",
            "10000 items",
        ),
        (
            "functions",
            json!(vec![function; 129]),
            "functions",
            "128 items",
        ),
        (
            "tool_choice",
            json!({"allowed_tools": {"mode": "auto", "tools": vec![named; 129]}}),
            "tool_choice.allowed_tools.tools",
            "128 items",
        ),
        ("stop", texts(5), "stop", "4 items"),
        ("stop", json!("a".repeat(1025)), "stop", "1024 bytes"),
        ("stop", json!(["a", "é".repeat(513)]), "stop", "1024 bytes"),
        ("modalities", texts(17), "modalities", "16 items"),
        ("metadata", map(17), "metadata", "16 pairs"),
        ("kb", texts(11), "kb", "10 items"),
        ("kb", json!({"name": texts(11)}), "kb.name", "10 items"),
        (
            "bedrock",
            json!({"additional_model_request_fields": {"a": "x".repeat(128 * 1024)}}),
            "bedrock.additional_model_request_fields",
            "131072 bytes",
        ),
        (
            "bedrock",
            json!({"request_metadata": map(65)}),
            "bedrock.request_metadata",
            "64 pairs",
        ),
    ] {
        let mut request = user("Hi");
        request[member] = value;
        let reply = gateway.chat(&request).await;
        let error = reply.error();
        assert_eq!(error["param"], param, "{error}");
        assert_eq!(error["code"], "invalid_value", "{error}");
        assert!(error["message"].as_str().unwrap().contains(max), "{error}");
    }
    let mut request = user("Hi");
    request["stop"] = json!(["a".repeat(1024)]);
    assert_eq!(gateway.chat(&request).await.status, StatusCode::OK);
    assert_eq!(gateway.simulator.received().len(), 1);
}

#[tokio::test]
async fn bodies_of_too_many_values_or_unknown_members_are_rejected() {
    let gateway = Gateway::start().await;
    let start = user("Hi").to_string();
    let start = start.trim_end_matches('}');
    for (members, accepted) in [
        (format!("\"x\":[{}0]", "0,".repeat(40_000)), true),
        (format!("\"x\":[{}0]", "0,".repeat(80_000)), false),
        (format!("\"x\":{}", "[".repeat(80_000)), false),
        (
            format!(
                "{}\"y\":0",
                "\"a long name of a member\":0,".repeat(100_001)
            ),
            false,
        ),
    ] {
        let reply = gateway.post(format!("{start},{members}}}")).await;
        assert_eq!(reply.status == StatusCode::OK, accepted, "{}", reply.text());
        if !accepted {
            assert_eq!(reply.error()["code"], "too_many_values");
        }
    }
    assert_eq!(gateway.simulator.received().len(), 1);
}
