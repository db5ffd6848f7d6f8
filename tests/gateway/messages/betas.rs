//! Beta flags, and the members that they carry.

use http::{Request, StatusCode};
use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use super::{last_sent, message};
use crate::support::{ANY_KEY, Gateway, Reply, endpoints::MESSAGES};

const SETTINGS: &str = r#"
    [models.sonnet]
    target = "us.anthropic.claude-sonnet-5-5"
    [models.converse]
    target = "us.anthropic.claude-sonnet-5-5"
    api = "converse"
    [models.haiku]
    target = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    [models.native]
    target = "us.anthropic.claude-sonnet-5-5"
    api = "messages"
    [models.newer]
    target = "us.anthropic.claude-sonnet-5-5"
    price = { input = 2.0, output = 10.0 }
    [models.newer.facts.invoke]
    family = "anthropic"
    betas = ["interleaved-thinking-2025-05-14", "of-tomorrow-2027-01-01"]
"#;

const INTERLEAVED: &str = "interleaved-thinking-2025-05-14";
const CONTEXT: &str = "context-management-2025-06-27";
const SEARCH: &str = "tool-search-tool-2025-10-19";

async fn start() -> Gateway {
    Gateway::start_with(SETTINGS).await
}

/// Sends a request with these flags in the header.
async fn send(gateway: &Gateway, flags: &str, request: &Value) -> Reply {
    let sent = Request::post(format!("http://{}{MESSAGES}", gateway.data))
        .header("x-api-key", ANY_KEY)
        .header("anthropic-beta", flags)
        .header("content-type", "application/json");
    gateway
        .send(sent.body(request.to_string().into()).unwrap())
        .await
}

fn with(model: &str, members: Value) -> Value {
    let mut request = message("Hello");
    request["model"] = model.into();
    for (name, value) in members.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}

fn edits() -> Value {
    json!({"edits": [{"type": "clear_tool_uses_20250919", "keep": {"type": "tool_uses", "value": 3}}]})
}

/// A conversation in which a search has found one of two deferred tools.
fn searched(model: &str) -> Value {
    let tool = |name: &str| json!({"name": name, "input_schema": {"type": "object"}});
    let deferred = |name: &str| {
        let mut tool = tool(name);
        tool["defer_loading"] = true.into();
        tool
    };
    let result = json!({"type": "tool_result", "tool_use_id": "toolu_1",
        "content": [{"type": "tool_reference", "tool_name": "WebFetch"}]});
    with(
        model,
        json!({
            "tools": [tool("ToolSearch"), deferred("WebFetch"), deferred("Weather")],
            "messages": [
                {"role": "user", "content": "Find it"},
                {"role": "assistant", "content": [
                    {"type": "tool_use", "id": "toolu_1", "name": "ToolSearch", "input": {}}]},
                {"role": "user", "content": [result, {"type": "text", "text": "Go on"}]},
            ],
        }),
    )
}

#[tokio::test]
async fn flags_of_headers_and_body_are_merged_and_sent_with_their_members() {
    let gateway = start().await;
    let members = json!({
        "context_management": edits(), "betas": [CONTEXT, "claude-code-20250219"], "anthropic_beta": [INTERLEAVED],
    });
    let flags = "interleaved-thinking-2025-05-14, unknown-2030-01-01,effort-2025-11-24";
    let reply = send(&gateway, flags, &with("sonnet", members)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let body = last_sent(&gateway);
    assert_eq!(body["anthropic_beta"], json!([INTERLEAVED, CONTEXT]));
    assert_eq!(body["context_management"], edits());
    let route = reply.header("x-lintel-route");
    assert_eq!(route, Some("invoke; reason=passthrough"));
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains("'unknown-2030-01-01' was not sent"),
        "{warnings}"
    );
    assert!(!warnings.contains("claude-code"), "{warnings}");
}

#[tokio::test]
async fn messages_endpoint_gets_the_flags_in_a_header() {
    let gateway = start().await;
    let flags = format!("{INTERLEAVED},{CONTEXT}");
    let request = with("native", json!({"context_management": edits()}));
    let reply = send(&gateway, &flags, &request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let sent = gateway.simulator.received().pop().unwrap();
    assert_eq!(sent.headers["anthropic-beta"], flags.as_str());
    assert_eq!(last_sent(&gateway)["context_management"], edits());
}

#[tokio::test]
async fn member_without_its_flag_is_dropped_with_a_warning() {
    let gateway = start().await;
    for (model, flags, why) in [
        ("sonnet", INTERLEAVED, "its beta is not in 'anthropic-beta'"),
        (
            "converse",
            CONTEXT,
            "this model does not accept its beta here",
        ),
        ("nova", CONTEXT, "this model does not accept its beta here"),
    ] {
        let request = with(model, json!({"context_management": edits()}));
        let reply = send(&gateway, flags, &request).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let body = last_sent(&gateway).to_string();
        assert!(
            !body.contains("context_management") && !body.contains(CONTEXT),
            "{body}"
        );
        let warnings = reply.header("x-lintel-warnings").unwrap();
        let expected = format!("context_management: ignored, {why}");
        assert!(warnings.contains(&expected), "{warnings}");
    }
}

#[tokio::test]
async fn edits_that_keep_everything_and_flags_without_effect_are_dropped_quietly() {
    let gateway = start().await;
    let edits = json!({"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]});
    let flags = "claude-code-20250219,context-management-2025-06-27,advanced-tool-use-2025-11-20";
    let reply = send(
        &gateway,
        flags,
        &with("sonnet", json!({"context_management": edits})),
    )
    .await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.header("x-lintel-route"), Some("converse"));
    assert_eq!(reply.header("x-lintel-warnings"), None);
}

/// Its tokens are not part of the usage that is reserved.
#[tokio::test]
async fn compaction_by_the_service_is_dropped() {
    let gateway = start().await;
    let edits = json!({"edits": [{"type": "compact_20260112"}]});
    let flags = "compact-2026-01-12,context-management-2025-06-27";
    let reply = send(
        &gateway,
        flags,
        &with("sonnet", json!({"context_management": edits})),
    )
    .await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(!last_sent(&gateway).to_string().contains("compact"));
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains("context_management: ignored"),
        "{warnings}"
    );
}

#[tokio::test]
async fn deferred_tools_and_references_reach_models_with_tool_search() {
    let gateway = start().await;
    for model in ["sonnet", "haiku"] {
        let reply = send(&gateway, "advanced-tool-use-2025-11-20", &searched(model)).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let body = last_sent(&gateway);
        assert_eq!(body["anthropic_beta"], json!([SEARCH]));
        let tools = body["tools"].as_array().unwrap();
        let deferred: Vec<_> = tools
            .iter()
            .filter(|tool| tool["defer_loading"] == true)
            .map(|tool| &tool["name"])
            .collect();
        assert_eq!(deferred, ["WebFetch", "Weather"]);
        let reference = &body["messages"][2]["content"][0]["content"][0];
        assert_eq!(
            *reference,
            json!({"type": "tool_reference", "tool_name": "WebFetch"})
        );
    }
}

#[tokio::test]
async fn without_tool_search_found_tools_are_ordinary_and_others_hidden() {
    let gateway = start().await;
    for (model, flags) in [
        ("converse", "advanced-tool-use-2025-11-20"),
        ("sonnet", "other"),
    ] {
        let reply = send(&gateway, flags, &searched(model)).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let body = last_sent(&gateway);
        let tools = body["toolConfig"]["tools"].to_string();
        assert!(
            tools.contains("WebFetch") && !tools.contains("Weather"),
            "{tools}"
        );
        assert!(body.to_string().contains("The tool WebFetch is available."));
    }
}

#[tokio::test]
async fn refused_flag_is_left_out_once_and_remembered() {
    let gateway = start().await;
    let flags = format!("{INTERLEAVED},of-tomorrow-2027-01-01");
    let request = with("newer", json!({}));
    let reply = send(&gateway, &flags, &request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let bodies = gateway.bodies();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0]["anthropic_beta"].as_array().unwrap().len(), 2);
    assert_eq!(
        bodies[1].get("anthropic_beta"),
        None,
        "the message names no flag"
    );
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains("'of-tomorrow-2027-01-01' was dropped"),
        "{warnings}"
    );
    let reply = send(&gateway, &flags, &request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(gateway.bodies().len(), 3, "the refusal is remembered");
}

#[tokio::test]
async fn refused_member_takes_its_flag_with_it() {
    let gateway = start().await;
    let message = "context_management: Extra inputs are not permitted";
    let refusal = json!({"message": message}).to_string();
    gateway.simulator.script(ScriptedReply::json(400, refusal));
    let flags = format!("{INTERLEAVED},{CONTEXT}");
    let request = with("sonnet", json!({"context_management": edits()}));
    let reply = send(&gateway, &flags, &request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let body = last_sent(&gateway);
    assert_eq!(body["anthropic_beta"], json!([INTERLEAVED]));
    assert!(body["context_management"].is_null());
}

#[tokio::test]
async fn tools_that_only_claude_knows_are_sent_to_claude() {
    let gateway = start().await;
    let tools = json!([
        {"type": "bash_20250124", "name": "bash"},
        {"type": "computer_20251124", "name": "computer", "display_width_px": 800, "display_height_px": 600},
    ]);
    let request = with("sonnet", json!({"tools": tools}));
    let reply = send(&gateway, "computer-use-2025-11-24", &request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(last_sent(&gateway)["tools"], tools);
    let request = with("nova", json!({"tools": tools}));
    let reply = send(&gateway, "computer-use-2025-11-24", &request).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let text = reply.json()["error"]["message"].to_string();
    assert!(text.contains("tools[0]"), "{text}");
}
