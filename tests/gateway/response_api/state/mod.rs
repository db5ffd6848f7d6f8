//! Stored responses: chains, references, and the endpoints that show and delete them.

mod chains;
mod endpoints;
mod limits;
mod references;
mod restarts;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use super::{RESPONSES, asking, function, with};
use crate::support::{Gateway, KEY, Reply};

impl Gateway {
    /// Sends a request without a body for a stored response.
    async fn stored(&self, method: Method, secret: &str, path: &str) -> Reply {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{RESPONSES}/{path}", self.data))
            .header("authorization", format!("Bearer {secret}"));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// Retrieves a stored response.
    async fn retrieve(&self, id: &str) -> Reply {
        self.stored(Method::GET, KEY, id).await
    }

    /// The body of the last request to Bedrock, without the id of the request.
    fn last_conversation(&self) -> Value {
        let mut sent = self.last_sent();
        sent.as_object_mut().unwrap().remove("requestMetadata");
        sent
    }

    /// Sends a request that must succeed, and returns its response.
    async fn answer(&self, request: &Value) -> Value {
        let reply = self.respond(request).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        reply.json()
    }
}

/// Returns the id of a response.
fn id(response: &Value) -> &str {
    response["id"].as_str().unwrap()
}

/// Makes a request continue a response.
fn after(response: &Value, request: Value) -> Value {
    with(request, "previous_response_id", response["id"].clone())
}

/// Returns a request with a tool.
fn with_tool(input: Value) -> Value {
    with(
        with(asking(""), "tools", json!([function("look")])),
        "input",
        input,
    )
}

/// Returns the output of the only call of a response, as an item.
fn seen(response: &Value) -> Value {
    let calls = super::items_of(response, "function_call");
    assert_eq!(calls.len(), 1, "{response}");
    json!({"type": "function_call_output", "call_id": calls[0]["call_id"], "output": "a garden"})
}

/// Checks that nothing of the conversation was dropped.
fn check_kept(reply: &Reply) {
    let warnings = reply.header("x-lintel-warnings").unwrap_or_default();
    assert!(!warnings.contains("ignored"), "{warnings}");
    assert!(!warnings.contains("dropped"), "{warnings}");
}

/// Checks that a reply says that the previous response is unknown.
fn check_unknown(reply: &Reply) {
    assert_eq!(reply.status, StatusCode::NOT_FOUND, "{}", reply.text());
    let error = reply.error();
    assert_eq!(error["code"], "previous_response_not_found");
    assert_eq!(error["param"], "previous_response_id");
}
