//! Sealed reasoning goes back to the model, from any replica and for its own key only.

use http::StatusCode;
use serde_json::{Value, json};

use super::{HAIKU, RESPONSES, asking, call, function, redacted, scripted, text, thinking, with};
use crate::support::{ANY_KEY, Gateway, money::key, serve, simulator};

/// Gateways share this secret.
const SECRET: &str = "0123456789abcdef-seal-of-the-tests";

async fn start() -> Gateway {
    let simulator = simulator();
    let address = serve(simulator.router()).await;
    let aws = format!("endpoint_url = \"http://{address}\"");
    let more = "seal_key_env = [\"SEAL_KEY\"]";
    Gateway::start_in(simulator, &aws, more, &[("SEAL_KEY", SECRET)]).await
}

/// The content of a turn that thinks between its calls.
fn turn() -> Vec<Value> {
    vec![
        thinking("first thought"),
        redacted(),
        text("Looking."),
        call("tooluse_1", "look", json!({})),
        thinking("second thought"),
        call("tooluse_2", "look", json!({})),
    ]
}

fn request() -> Value {
    let mut request = with(asking("Go"), "tools", json!([function("look")]));
    request["model"] = HAIKU.into();
    request["reasoning"] = json!({"effort": "low"});
    request
}

/// The request that follows a turn with this output.
fn next(output: &Value) -> Value {
    let mut items = vec![json!({"role": "user", "content": "Go"})];
    items.extend(output.as_array().unwrap().iter().cloned());
    for id in ["tooluse_1", "tooluse_2"] {
        items.push(json!({"type": "function_call_output", "call_id": id, "output": "seen"}));
    }
    with(request(), "input", items.into())
}

/// The reply to the first turn.
async fn output(gateway: &Gateway) -> Value {
    gateway
        .simulator
        .script(scripted(&turn(), "tool_use", false));
    let reply = gateway.respond_any(&request()).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    reply.json()["output"].clone()
}

#[tokio::test]
async fn reasoning_comes_back_in_its_place_on_another_replica() {
    let output = output(&start().await).await;
    let shown = output.to_string();
    assert!(
        !shown.contains("thought") && !shown.contains("c2lnbmF0dXJl"),
        "{shown}"
    );
    let other = start().await;
    let reply = other.respond_any(&next(&output)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let sent = other.last_sent();
    assert_eq!(sent["messages"][1]["content"], Value::from(turn()));
}

#[tokio::test]
async fn reasoning_of_another_key_or_changed_reasoning_is_dropped() {
    let gateway = start().await;
    let output = output(&gateway).await;
    let mut changed = output.clone();
    let sealed = changed[0]["encrypted_content"].as_str().unwrap();
    changed[0]["encrypted_content"] = format!("{}AAAA", &sealed[..sealed.len() - 4]).into();
    // The cache of turns would restore what is missing, so another replica gets it.
    let other = start().await;
    let reply = other.respond_any(&next(&changed)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains("input[1].encrypted_content: ignored"),
        "{warnings}"
    );
    assert!(!other.last_sent().to_string().contains("first thought"));
    let (_, secret) = key(&other, json!({"models": ["*"], "raw": true})).await;
    let reply = other.ask(RESPONSES, &secret, &next(&output)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert!(!other.last_sent().to_string().contains("thought"));
    let mut foreign = next(&output);
    foreign["input"][1]["encrypted_content"] = "gAAAAABofOpenAI".into();
    let reply = other.ask(RESPONSES, ANY_KEY, &foreign).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
}

#[tokio::test]
async fn reasoning_of_another_model_is_not_sent() {
    let gateway = start().await;
    let output = output(&gateway).await;
    let mut request = next(&output);
    request["model"] = "amazon.nova-lite-v1:0".into();
    request.as_object_mut().unwrap().remove("reasoning");
    let reply = gateway.respond_any(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    assert!(!gateway.last_sent().to_string().contains("reasoningContent"));
}
