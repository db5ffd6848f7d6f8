//! Tools that messages add and remove in the middle of a conversation.

use http::StatusCode;
use serde_json::{Value, json};

use super::{last_sent, message, send};
use crate::support::Gateway;

fn tool(name: &str) -> Value {
    json!({"name": name, "input_schema": {"type": "object"}})
}

fn change(kind: &str, name: &str) -> Value {
    json!({"type": kind, "tool": {"type": "tool_reference", "name": name}})
}

/// A conversation whose second turn begins with changes of the tools.
fn changed(tools: &[Value], changes: &[Value]) -> Value {
    let mut request = message("Hi");
    request["tools"] = tools.into();
    request["messages"] = json!([
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Go on."},
        {"role": "system", "content": changes},
    ]);
    request
}

/// Returns the names of the tools that the model gets.
fn offered(sent: &Value) -> Vec<&str> {
    let tools = sent["toolConfig"]["tools"].as_array();
    let names = tools.into_iter().flatten();
    names
        .filter_map(|tool| tool["toolSpec"]["name"].as_str())
        .collect()
}

#[tokio::test]
async fn last_change_decides_which_tools_the_model_has() {
    let gateway = Gateway::start().await;
    let mut deferred = tool("later");
    deferred["defer_loading"] = true.into();
    let tools = [tool("kept"), tool("removed"), tool("back"), deferred];
    let changes = [
        change("tool_removal", "removed"),
        change("tool_removal", "back"),
        change("tool_addition", "later"),
        change("tool_addition", "back"),
        json!({"type": "tool_addition", "tool": {"type": "tool_definition", "definition": tool("new")}}),
    ];
    let reply = send(&gateway, &changed(&tools, &changes)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert_eq!(reply.header("x-lintel-warnings"), None);
    let sent = last_sent(&gateway);
    assert_eq!(offered(&sent), ["kept", "back", "later", "new"]);
    let turns = sent["messages"].as_array().unwrap();
    assert_eq!(turns.len(), 3, "{sent}");
}

/// Was a system text without content.
#[tokio::test]
async fn change_that_is_marked_for_the_cache_adds_no_text() {
    let gateway = Gateway::start().await;
    let mut removal = change("tool_removal", "removed");
    removal["cache_control"] = json!({"type": "ephemeral"});
    let request = changed(&[tool("kept"), tool("removed")], &[removal]);
    let reply = send(&gateway, &request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let sent = last_sent(&gateway);
    assert_eq!(offered(&sent), ["kept"]);
    assert!(!sent.to_string().contains("<system>"), "{sent}");
    assert_eq!(sent["messages"].as_array().unwrap().len(), 3, "{sent}");
}

/// Was ignored without a word.
#[tokio::test]
async fn reference_to_a_tool_that_does_not_exist_is_reported() {
    let gateway = Gateway::start().await;
    let request = |kind| changed(&[tool("kept")], &[change(kind, "other")]);
    let reply = send(&gateway, &request("tool_addition")).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let text = reply.text();
    assert!(text.contains("messages[3].content[0].tool.name"), "{text}");
    let reply = send(&gateway, &request("tool_removal")).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains("messages[3].content[0].tool.name: ignored"),
        "{warnings}"
    );
}

#[tokio::test]
async fn removed_tool_cannot_be_forced() {
    let gateway = Gateway::start().await;
    let tools = [tool("kept"), tool("removed")];
    let mut request = changed(&tools, &[change("tool_removal", "removed")]);
    request["tool_choice"] = json!({"type": "tool", "name": "removed"});
    let reply = send(&gateway, &request).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let text = reply.text();
    assert!(text.contains("tool_choice.name"), "{text}");
}

#[tokio::test]
async fn change_without_a_tool_is_rejected() {
    let gateway = Gateway::start().await;
    for tool in [
        Value::Null,
        json!({"type": "tool_reference"}),
        json!({"type": "tool_definition", "name": "x"}),
    ] {
        let block = json!({"type": "tool_addition", "tool": tool});
        let reply = send(&gateway, &changed(&[], &[block])).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{tool}");
        let text = reply.text();
        assert!(text.contains("messages[3].content[0].tool"), "{text}");
    }
}
