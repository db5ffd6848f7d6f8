//! Tool choices without a tool, and tools that others run.

use http::StatusCode;
use serde_json::{Value, json};

use super::{gateway, message, respond};

#[tokio::test]
async fn forced_choice_without_a_tool_is_rejected() {
    let gateway = gateway().await;
    let hosted = json!([{"type": "code_execution_20250522", "name": "code_execution"}, {"name": "d", "input_schema": {"type": "object"}, "defer_loading": true}]);
    let deferred =
        json!([{"name": "d", "input_schema": {"type": "object"}, "defer_loading": true}]);
    for (tools, choice, param) in [
        (Value::Null, json!({"type": "any"}), "tool_choice"),
        (hosted, json!({"type": "any"}), "tool_choice"),
        (
            deferred,
            json!({"type": "tool", "name": "d"}),
            "tool_choice.name",
        ),
        (
            json!([{"name": "f", "input_schema": {"type": "object"}}]),
            json!({"type": "tool", "name": "z"}),
            "tool_choice.name",
        ),
    ] {
        let request = json!({"tools": tools, "tool_choice": choice});
        let reply = message(&gateway, request.clone()).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{request}");
        assert!(reply.text().contains(param), "{}", reply.text());
    }
    let none = json!({"tools": null, "tool_choice": {"type": "none"}});
    assert_eq!(message(&gateway, none).await.status, StatusCode::OK);
    let deferred = json!([{"type": "function", "name": "d", "defer_loading": true}]);
    for (tools, choice, param) in [
        (Value::Null, json!("required"), "tool_choice"),
        (
            Value::Null,
            json!({"type": "function", "name": "z"}),
            "tool_choice.name",
        ),
        (deferred.clone(), json!("required"), "tool_choice"),
        (
            deferred,
            json!({"type": "function", "name": "d"}),
            "tool_choice.name",
        ),
        (
            json!([{"type": "function", "name": "f"}]),
            json!({"type": "allowed_tools", "mode": "required", "tools": [{"type": "web_search"}]}),
            "tool_choice.tools",
        ),
    ] {
        let request = json!({"tools": tools, "tool_choice": choice});
        let reply = respond(&gateway, request.clone()).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{request}");
        assert_eq!(reply.error()["param"], param, "{request}");
    }
    let auto = json!({"tools": [], "tool_choice": "auto"});
    assert_eq!(respond(&gateway, auto).await.status, StatusCode::OK);
}

/// The order of the tools decides nothing, and no warning says that a tool is missing which the model has.
#[tokio::test]
async fn web_search_that_the_model_has_is_offered() {
    let gateway = gateway().await;
    let (search, mcp) = (
        json!({"type": "web_search"}),
        json!({"type": "mcp", "server_label": "x"}),
    );
    for (tools, is_partial) in [
        (json!([search]), false),
        (json!([search, mcp]), true),
        (json!([mcp, search]), true),
    ] {
        let choice = json!({"type": "web_search"});
        let request = json!({"model": "searcher", "tools": tools, "tool_choice": choice});
        let reply = respond(&gateway, request).await;
        assert_eq!(reply.status, StatusCode::OK, "{tools}: {}", reply.text());
        let warnings = reply.header("x-lintel-warnings").unwrap_or_default();
        assert!(!warnings.contains("'web_search'"), "{warnings}");
        assert_eq!(warnings.contains("'mcp'"), is_partial, "{warnings}");
    }
    let (search, code) = (
        json!({"type": "web_search_20250305", "name": "web_search"}),
        json!({"type": "code_execution_20250522", "name": "code_execution"}),
    );
    for tools in [
        json!([search]),
        json!([search, code]),
        json!([code, search]),
    ] {
        let choice = json!({"type": "tool", "name": "web_search"});
        let request = json!({"model": "searcher", "tools": tools, "tool_choice": choice});
        let reply = message(&gateway, request).await;
        assert_eq!(reply.status, StatusCode::OK, "{tools}: {}", reply.text());
        let warnings = reply.header("x-lintel-warnings").unwrap_or_default();
        assert!(!warnings.contains("'web_search_20250305'"), "{warnings}");
    }
    let only_hosted = json!({"tools": [code, {"type": "web_fetch_20250910", "name": "f"}]});
    let reply = message(&gateway, only_hosted).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.text());
}
