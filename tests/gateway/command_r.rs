//! Command R over InvokeModel: tools, their results, and documents, in Cohere's body.

use http::StatusCode;
use lintel::simulator::ScriptedReply;
use serde_json::{Value, json};

use crate::support::{
    Gateway,
    money::{booked, budget, key, nano, of, standing},
    user,
};

const SETTINGS: &str = "[models.command]\ntarget = \"cohere.command-r-plus-v1:0\"\napi = \"invoke\"\n\
     max_tokens = 100\nprice = { input = 2.0, output = 10.0 }\n";

fn weather() -> Value {
    json!([{"type": "function", "function": {"name": "get-weather", "description": "The weather", "parameters":
        {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
         "required": ["city"]}}}])
}

fn file(name: &str, data: &str) -> Value {
    json!({"type": "file", "file": {"filename": name, "file_data": data}})
}

#[tokio::test]
async fn an_agent_loops_through_calls_and_is_billed_what_it_uses() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let (id, secret) = key(&gateway, budget(1.0)).await;
    let mut request = of("command", user("Use get_weather"));
    request["tools"] = weather();
    let mut ids = Vec::new();
    for step in 0..2 {
        let reply = gateway.as_key(&secret, &request).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let message = reply.json()["choices"][0]["message"].clone();
        // A model that answers results calls no tool, so the second step asks again.
        if step == 0 {
            let call = message["tool_calls"][0].clone();
            assert_eq!(call["function"]["name"], "get-weather");
            ids.push(call["id"].clone());
            let messages = request["messages"].as_array_mut().unwrap();
            messages.push(message);
            messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "sunny"}));
        } else {
            assert_eq!(message["content"], "You said: sunny");
            let messages = request["messages"].as_array_mut().unwrap();
            messages.push(message);
            messages.push(json!({"role": "user", "content": "Use get_weather"}));
        }
    }
    let reply = gateway.as_key(&secret, &request).await;
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(warnings.contains("were sent as text"), "{warnings}");
    ids.push(reply.json()["choices"][0]["message"]["tool_calls"][0]["id"].clone());
    assert!(
        ids[0] != ids[1] && ids[0].as_str().unwrap().starts_with("call_"),
        "{ids:?}"
    );
    let bodies = gateway.bodies();
    assert_eq!(bodies[0]["tools"][0]["name"], "get_weather");
    let result = json!([{"call": {"name": "get_weather", "parameters": {"city": "city", "days": 1}}, "outputs": [{"text": "sunny"}]}]);
    assert_eq!(bodies[1]["message"], "Use get_weather");
    assert_eq!(bodies[1]["tool_results"], result);
    assert!(bodies[2].get("tool_results").is_none());
    assert_eq!(bodies[2]["chat_history"].as_array().unwrap().len(), 4);
    gateway
        .until(async || standing(&gateway, &id).await.1 == "0")
        .await;
    let (input, output) = gateway.billed();
    assert_eq!(
        nano(&standing(&gateway, &id).await.0),
        2000 * input + 10_000 * output
    );
    assert!(
        booked(&gateway, &id)
            .await
            .iter()
            .all(|one| one.0 == "actual")
    );
}

#[tokio::test]
async fn text_documents_are_sent_beside_the_message_and_cited() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = of("command", user(""));
    request["messages"][0]["content"] = json!([
        file("a.txt", "data:text/plain;base64,SGk="), {"type": "text", "text": "Sum up"}]);
    for stream in [false, true] {
        request["stream"] = stream.into();
        let reply = gateway.chat(&request).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        let text = reply.text();
        assert!(text.contains(r#""url":"lintel:document/0""#), "{text}");
        assert!(text.contains(r#""end_index":21"#), "{text}");
    }
    for body in gateway.bodies() {
        assert_eq!(body["message"], "Sum up");
        assert_eq!(body["documents"][0]["snippet"], "Hi");
    }
    request["messages"][0]["content"][0] =
        file("a.pdf", "data:application/pdf;base64,JVBERi0xLjQ=");
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.error()["code"], "unsupported_content");
    assert_eq!(gateway.bodies().len(), 2);
}

/// The message was the text that the translation puts beside documents, and nothing said that the call had failed.
#[tokio::test]
async fn results_with_documents_keep_the_question_and_their_error() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = of("command", user("Use get_weather"));
    request["tools"] = weather();
    let call = json!({"id": "call_1", "type": "function", "function": {"name": "get-weather", "arguments": "{}"}});
    let messages = request["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": null, "tool_calls": [call]}));
    messages.push(json!({"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "call_1", "content": "no such city", "is_error": true},
        file("a.txt", "data:text/plain;base64,SGk=")]}));
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let body = gateway.bodies().pop().unwrap();
    assert_eq!(body["message"], "Use get_weather");
    assert_eq!(body["documents"][0]["snippet"], "Hi");
    let outputs = json!([{"text": "The tool call failed.\n"}, {"text": "no such city"}]);
    assert_eq!(body["tool_results"][0]["outputs"], outputs);
}

#[tokio::test]
async fn values_that_the_body_rejects_are_bounded_with_a_warning() {
    let gateway = Gateway::start_with(SETTINGS).await;
    let mut request = of("command", user("Hello"));
    request["top_p"] = 1.into();
    let reply = gateway.chat(&request).await;
    assert_eq!(reply.content(), "You said: Hello");
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(warnings.contains("top_p: 1 was sent as 0.99"), "{warnings}");
}

#[tokio::test]
async fn an_answer_that_failed_is_an_error_and_not_an_answer() {
    let gateway = Gateway::start_with(SETTINGS).await;
    for _ in 0..2 {
        let body = json!({"text": "I", "generation_id": "g", "finish_reason": "ERROR"});
        gateway
            .simulator
            .script(ScriptedReply::json(200, body.to_string()));
    }
    let reply = gateway.chat(&of("command", user("Hello"))).await;
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY, "{}", reply.text());
    assert_eq!(reply.error()["code"], "model_error");
}
