//! What is adapted to a model so that nothing is lost, rejected upstream or paid for unasked.

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Gateway, user};

const CLAUDE: &str = "us.anthropic.claude-haiku-4-5-20251001-v1:0";
const NOVA: &str = "us.amazon.nova-2-lite-v1:0";

fn asking(model: &str) -> Value {
    let mut request = user("Hi");
    request["model"] = model.into();
    request
}

fn with(mut request: Value, members: &Value) -> Value {
    for (name, value) in members.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}

/// A mark of five minutes was written for an hour, which costs more.
#[tokio::test]
async fn retention_of_the_request_does_not_change_the_client_marks() {
    let gateway = Gateway::start().await;
    let long = "word ".repeat(6000);
    for (ttl, sent) in [
        (json!("5m"), Value::Null),
        (json!(null), Value::Null),
        (json!("1h"), json!("1h")),
    ] {
        let mark = json!({"type": "ephemeral", "ttl": ttl});
        let part = json!({"type": "text", "text": long, "cache_control": mark});
        let request = json!({"model": CLAUDE, "prompt_cache_retention": "24h", "messages": [
            {"role": "system", "content": [part]}, {"role": "user", "content": "Hi"}]});
        let reply = gateway.any(&request).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let body = gateway.bodies().pop().unwrap();
        assert_eq!(body["system"][1]["cachePoint"]["ttl"], sent, "{ttl}");
    }
}

/// These were ignored on a 200: the answer came without the guardrail, the picture or the conversation.
#[tokio::test]
async fn members_that_would_make_the_answer_wrong_are_rejected() {
    let gateway = Gateway::start().await;
    for member in [
        "guardrail",
        "guardrailIdentifier",
        "image",
        "images",
        "video",
        "system_message",
        "toolChoice",
        "thread_id",
        "history",
    ] {
        let reply = gateway
            .any(&with(asking(NOVA), &json!({member: "x"})))
            .await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{member}");
        assert_eq!(reply.error()["param"], member);
    }
    assert!(gateway.simulator.received().is_empty());
}

/// The history was sent without `toolConfig`, which Converse rejects.
#[tokio::test]
async fn history_with_searches_keeps_its_tool_if_calls_are_forbidden() {
    let gateway = Gateway::start().await;
    let searching = json!({"web_search_options": {}});
    let first = gateway.any(&with(asking(NOVA), &searching)).await.json();
    let message = first["choices"][0]["message"].clone();
    assert!(message["server_tool_blocks"].is_array(), "{message}");
    let tool = json!({"type": "function", "function": {"name": "f"}});
    for members in [
        json!({"tool_choice": "none"}),
        json!({"tool_choice": "none", "tools": [tool]}),
        json!({"function_call": "none", "functions": [{"name": "f"}]}),
    ] {
        let mut request = with(asking(NOVA), &members);
        request["messages"] = json!([{"role": "user", "content": "Hi"}, message, {"role": "user", "content": "And?"}]);
        let reply = gateway.any(&request).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let tools = gateway.bodies().pop().unwrap()["toolConfig"]["tools"].clone();
        assert!(tools.to_string().contains("systemTool"), "{tools}");
        let warnings = reply.header("x-lintel-warnings").unwrap_or_default();
        assert!(
            warnings.contains("'none' does not turn off web search"),
            "{warnings}"
        );
        // The old code reported that it discards calls, also if only AWS calls a tool.
        assert!(!warnings.contains("discarding"), "{warnings}");
    }
}

/// Two tools were sent with the same name, `nova_grounding`.
#[tokio::test]
async fn tool_with_the_name_of_the_web_search_gets_another_name() {
    let gateway = Gateway::start().await;
    let tool = json!({"type": "function", "function": {"name": "nova_grounding"}});
    let members = json!({"tools": [tool], "tool_choice": "required"});
    let searching = with(members.clone(), &json!({"web_search_options": {}}));
    for (members, is_sent) in [(&members, true), (&searching, false)] {
        let reply = gateway.any(&with(asking(NOVA), members)).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let call = reply.json()["choices"][0]["message"]["tool_calls"][0].clone();
        assert_eq!(call["function"]["name"], "nova_grounding");
        let tools = gateway.bodies().pop().unwrap()["toolConfig"]["tools"].clone();
        let name = tools[0]["toolSpec"]["name"].as_str().unwrap();
        assert_eq!(name == "nova_grounding", is_sent, "{tools}");
    }
}

/// A web search among the allowed tools was a 400 ("has no name"), and one that is not among them was sent.
#[tokio::test]
async fn web_search_may_be_among_the_allowed_tools() {
    let gateway = Gateway::start().await;
    let tool = json!({"type": "function", "function": {"name": "f"}});
    let search = json!({"type": "web_search"});
    for (allowed, sent) in [
        (json!([search]), ["systemTool"].as_slice()),
        (json!([tool]), &["toolSpec"]),
        (json!([tool, search]), &["toolSpec", "systemTool"]),
    ] {
        let choice =
            json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": allowed}});
        let members = json!({"tools": [tool, search], "tool_choice": choice});
        let reply = gateway.any(&with(asking(NOVA), &members)).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let tools = gateway.bodies().pop().unwrap()["toolConfig"]["tools"].clone();
        let kinds: Vec<_> = tools
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|tool| tool.as_object().unwrap().keys().cloned())
            .collect();
        assert_eq!(kinds, sent, "{allowed}");
    }
    let choice =
        json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [search]}});
    let members = json!({"tools": [tool], "tool_choice": choice});
    let reply = gateway.any(&with(asking(NOVA), &members)).await;
    assert_eq!(
        reply.error()["param"],
        "tool_choice.allowed_tools.tools",
        "{}",
        reply.text()
    );
}

/// `topK` was sent, which Nova rejects at the effort `high`.
#[tokio::test]
async fn no_sampling_parameter_is_sent_to_nova_at_the_effort_high() {
    let gateway = Gateway::start().await;
    for (effort, top_k) in [("low", json!(5)), ("high", Value::Null)] {
        let members =
            json!({"reasoning_effort": effort, "top_k": 5, "temperature": 0.5, "top_p": 0.5});
        let reply = gateway.any(&with(asking(NOVA), &members)).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let body = gateway.bodies().pop().unwrap();
        let fields = &body["additionalModelRequestFields"];
        assert_eq!(fields["inferenceConfig"]["topK"], top_k, "{effort}");
        assert_eq!(
            body["inferenceConfig"]["temperature"].is_null(),
            effort == "high"
        );
    }
}

/// The hint was a 400 for models that cache by themselves, if unsupported parameters are rejected.
#[tokio::test]
async fn cache_key_is_accepted_by_every_model() {
    let gateway = Gateway::start_with(
        "[models.refusing]\ntarget = \"openai.gpt-oss-120b-1:0\"\ndropped_parameters = \"refuse\"",
    )
    .await;
    let members = json!({"prompt_cache_key": "k", "prompt_cache_retention": "24h"});
    let reply = gateway.chat(&with(asking("refusing"), &members)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
}
