//! Chats over the OpenAI-compatible endpoints of Bedrock.

mod calls;
mod errors;
mod money;
mod requests;
mod streams;
mod tools;
mod usage;

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Gateway, Reply};

/// Models on both endpoints. `…_converse` is the same model on Converse.
pub const SETTINGS: &str = r#"
    [models.oss]
    target = "openai.gpt-oss-120b-1:0"
    api = "chat"
    price = { input = 2.0, output = 10.0, flex_input = 1.0, flex_output = 5.0, priority_input = 4.0, priority_output = 20.0 }
    retry = { attempts = 3, base = "1ms" }
    [models.oss_converse]
    target = "openai.gpt-oss-120b-1:0"
    [models.oss_invoke]
    target = "openai.gpt-oss-120b-1:0"
    api = "invoke"
    [models.claude_invoke]
    target = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    api = "invoke"
    [models.oss_mantle]
    target = "openai.gpt-oss-120b-1:0"
    api = "mantle"
    price = { input = 2.0, output = 10.0, flex_input = 1.0, flex_output = 5.0, priority_input = 4.0, priority_output = 20.0 }
    retry = { attempts = 3, base = "1ms" }
    [models.gpt]
    target = "us.openai.gpt-6-sol"
    api = "chat"
    price = { input = 2.0, output = 10.0 }
    [models.gpt_converse]
    target = "us.openai.gpt-6-sol"
    [models.grok]
    target = "us.xai.grok-4.6"
    api = "chat"
    [models.gemma]
    target = "google.gemma-4-31b"
    api = "mantle"
    [models.qwen]
    target = "qwen.qwen3-32b-v1:0"
    api = "mantle"
    [models.qwen_converse]
    target = "qwen.qwen3-32b-v1:0"
    [models.palmyra]
    target = "writer.palmyra-vision-7b"
    api = "mantle"
    [models.frugal]
    target = "openai.gpt-oss-20b-1:0"
    api = "chat"
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

/// Returns the message and the finish reason of a reply, without the ids of its calls, and without signatures and the
/// stop sequence, which these endpoints do not report.
fn meaning(reply: &Reply) -> (Value, Value) {
    let choice = reply.json()["choices"][0].clone();
    let mut message = choice["message"].clone();
    if let Some(members) = message.as_object_mut() {
        members.shift_remove("thinking_blocks");
        members.shift_remove("reasoning_details");
        members.shift_remove("stop_sequence");
    }
    for call in message["tool_calls"].as_array_mut().into_iter().flatten() {
        call["id"] = "ID".into();
    }
    (message, choice["finish_reason"].clone())
}

#[tokio::test]
async fn answer_has_the_same_meaning_as_that_of_converse() {
    let gateway = gateway().await;
    let tool = json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {"place": {"type": "string"}}}}}]);
    let schema = json!({"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": false}}});
    let cases = [
        ask("", "Hello there"),
        with(ask("", "one two three four"), "max_tokens", 17),
        with(ask("", "[simulate words 40]"), "max_tokens", 20),
        with(ask("", "one END two"), "stop", "END"),
        with(ask("", "use look please"), "tools", tool.clone()),
        with(
            with(ask("", "Hi"), "tools", tool),
            "tool_choice",
            "required",
        ),
        with(ask("", "give me a number"), "response_format", schema),
        with(
            ask("", "give me an object"),
            "response_format",
            json!({"type": "json_object"}),
        ),
    ];
    for (native, converse) in [
        ("oss", "oss_converse"),
        ("oss_mantle", "oss_converse"),
        ("gpt", "gpt_converse"),
        ("qwen", "qwen_converse"),
    ] {
        for case in &cases {
            let own = answered(&gateway, &with(case.clone(), "model", native)).await;
            let other = answered(&gateway, &with(case.clone(), "model", converse)).await;
            assert_eq!(meaning(&own), meaning(&other), "{native}: {case}");
        }
    }
}

#[tokio::test]
async fn reasoning_in_the_text_or_beside_it_is_reasoning_content() {
    let gateway = gateway().await;
    for model in ["oss", "oss_mantle", "oss_converse"] {
        let request = with(ask(model, "Hello"), "reasoning_effort", "low");
        let reply = answered(&gateway, &request).await;
        let (message, finish) = meaning(&reply);
        assert_eq!(
            message["reasoning_content"], "The user said something. I repeat it.",
            "{model}"
        );
        assert_eq!(message["content"], "You said: Hello", "{model}");
        assert_eq!(finish, "stop");
        let tokens = &reply.json()["usage"]["completion_tokens_details"]["reasoning_tokens"];
        assert!(tokens.as_u64().unwrap() > 0, "{model}: {tokens}");
        let stream = answered(&gateway, &with(request, "stream", true)).await;
        assert_eq!(stream.content(), "You said: Hello", "{model}");
        assert!(!stream.text().contains("<reason"), "{}", stream.text());
    }
}

#[tokio::test]
async fn route_is_the_configured_one() {
    let gateway = gateway().await;
    for (model, route) in [
        ("oss", "chat; reason=configured"),
        ("oss_mantle", "mantle_chat; reason=configured"),
        ("gpt", "chat; reason=configured"),
        ("gemma", "mantle_chat; reason=configured"),
        ("oss_converse", "converse"),
    ] {
        let reply = answered(&gateway, &ask(model, "Hi")).await;
        assert_eq!(reply.header("x-lintel-route"), Some(route), "{model}");
        assert_eq!(reply.content(), "You said: Hi");
    }
}
