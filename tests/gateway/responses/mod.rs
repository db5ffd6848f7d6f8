//! Chats over OpenAI's Responses on Bedrock.

mod errors;
mod loops;
mod money;
mod requests;
mod streams;

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Gateway, Reply};

/// Models on both hosts. `…_converse` is the same model on Converse.
pub const SETTINGS: &str = r#"
    [models.gpt]
    target = "us.openai.gpt-6-sol"
    api = "responses"
    price = { input = 2.0, output = 10.0 }
    retry = { attempts = 3, base = "1ms" }
    [models.gpt_converse]
    target = "us.openai.gpt-6-sol"
    api = "converse"
    [models.daybreak]
    target = "openai.gpt-daybreak-blue-5.6-sol"
    price = { input = 2.0, output = 10.0 }
    retry = { attempts = 3, base = "1ms" }
    [models.gpt5]
    target = "openai.gpt-5.4"
    [models.gemma]
    target = "google.gemma-4-31b"
    api = "responses"
    price = { input = 2.0, output = 10.0, flex_input = 1.0, flex_output = 5.0, priority_input = 4.0, priority_output = 20.0 }
    [models.oss]
    target = "openai.gpt-oss-120b-1:0"
    api = "responses"
    [models.frugal]
    target = "us.openai.gpt-6-luna"
    api = "responses"
    dropped_parameters = "refuse"
"#;

pub async fn gateway() -> Gateway {
    Gateway::start_with(SETTINGS).await
}

/// Returns a request with one user message.
pub fn ask(model: &str, text: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": text}]})
}

pub fn with(mut request: Value, member: &str, value: impl Into<Value>) -> Value {
    request[member] = value.into();
    request
}

pub async fn answered(gateway: &Gateway, request: &Value) -> Reply {
    let reply = gateway.chat(request).await;
    assert_eq!(reply.status, StatusCode::OK, "{request}: {}", reply.text());
    reply
}

/// Returns the path and the body of the last request.
pub fn last(gateway: &Gateway) -> (String, Value) {
    let last = gateway.simulator.received().pop().unwrap();
    (last.path, serde_json::from_slice(&last.body).unwrap())
}

pub fn tools() -> Value {
    let schema = json!({"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "integer"}}});
    let tool =
        |name: &str| json!({"type": "function", "function": {"name": name, "parameters": schema}});
    json!([tool("look"), tool("find.it")])
}
