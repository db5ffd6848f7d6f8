//! Tool loops over the OpenAI-compatible endpoints.

use serde_json::{Value, json};

use super::{answered, ask, gateway, with};
use crate::support::Gateway;

fn tools() -> Value {
    let schema = json!({"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "integer"}}});
    let tool =
        |name: &str| json!({"type": "function", "function": {"name": name, "parameters": schema}});
    json!([tool("look"), tool("find.it")])
}

fn bodies(gateway: &Gateway) -> Vec<Value> {
    let received = gateway.simulator.received();
    let bodies = received
        .iter()
        .map(|one| serde_json::from_slice(&one.body).unwrap());
    bodies.collect()
}

/// gpt-oss numbers the calls of each turn from `call_0`.
#[tokio::test]
async fn repeated_ids_are_unique_for_the_client_and_mapped_back() {
    for model in ["oss", "oss_mantle"] {
        let gateway = gateway().await;
        let mut request = with(ask(model, "use look please"), "tools", tools());
        let mut seen = Vec::new();
        for turn in 0..2 {
            let message =
                answered(&gateway, &request).await.json()["choices"][0]["message"].clone();
            let calls = message["tool_calls"].as_array().unwrap().clone();
            assert_eq!(calls[0]["function"]["name"], "look", "{message}");
            let id = calls[0]["id"].as_str().unwrap().to_owned();
            assert!(id.starts_with("call_") && id.len() > 10, "{id}");
            assert!(!seen.contains(&id), "{id} in turn {turn}");
            let messages = request["messages"].as_array_mut().unwrap();
            messages.push(message);
            messages.push(json!({"role": "tool", "tool_call_id": id, "content": "found"}));
            messages.push(json!({"role": "assistant", "content": "Found."}));
            messages.push(json!({"role": "user", "content": "use look again"}));
            seen.push(id);
        }
        answered(&gateway, &with(request, "tool_choice", "none")).await;
        let sent = bodies(&gateway).pop().unwrap();
        let messages = sent["messages"].as_array().unwrap();
        let calls: Vec<&Value> = messages
            .iter()
            .filter(|one| one["tool_calls"].is_array())
            .collect();
        assert_eq!(calls.len(), 2);
        for call in calls {
            assert_eq!(call["tool_calls"][0]["id"], "call_0");
        }
        let results = messages.iter().filter(|one| one["role"] == "tool");
        assert!(
            results
                .into_iter()
                .all(|one| one["tool_call_id"] == "call_0")
        );
    }
}

#[tokio::test]
async fn streamed_calls_are_those_of_a_whole_reply() {
    let gateway = gateway().await;
    for model in ["oss", "qwen"] {
        let request = with(ask(model, "use look and find_it"), "tools", tools());
        let whole = answered(&gateway, &request).await.json();
        let calls = whole["choices"][0]["message"]["tool_calls"].clone();
        assert_eq!(calls.as_array().unwrap().len(), 2, "{whole}");
        assert_eq!(calls[1]["function"]["name"], "find.it", "the client's name");
        assert_eq!(calls[0]["function"]["arguments"], r#"{"z":"z","a":1}"#);
        let stream = answered(&gateway, &with(request, "stream", true)).await;
        let mut arguments = [String::new(), String::new()];
        for event in stream.events().iter().filter(|event| **event != "[DONE]") {
            let chunk: Value = serde_json::from_str(event).unwrap();
            for call in chunk["choices"][0]["delta"]["tool_calls"]
                .as_array()
                .into_iter()
                .flatten()
            {
                let at = call["index"].as_u64().unwrap() as usize;
                arguments[at] += call["function"]["arguments"].as_str().unwrap_or_default();
            }
        }
        for (at, arguments) in arguments.iter().enumerate() {
            assert_eq!(
                calls[at]["function"]["arguments"],
                arguments.as_str(),
                "{model}"
            );
        }
    }
}

#[tokio::test]
async fn every_call_of_a_history_is_followed_by_its_result() {
    let gateway = gateway().await;
    let call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "look", "arguments": arguments}});
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": null, "tool_calls": [call("a", ""), call("b", "{\"x\":1"), call("a", "{}")]},
        {"role": "user", "content": "meanwhile"},
        {"role": "tool", "tool_call_id": "b", "content": "of b"},
        {"role": "tool", "tool_call_id": "zzz", "content": "of none"},
        {"role": "assistant", "content": "So."},
        {"role": "assistant", "content": "Well."},
    ]);
    for model in ["oss", "qwen"] {
        let request = json!({"model": model, "messages": messages, "tools": tools()});
        let reply = answered(&gateway, &request).await;
        let warnings = reply.header("x-lintel-warnings").unwrap().to_owned();
        for part in [
            "an error result was added",
            "sent as text",
            "'Continue.' was added",
        ] {
            assert!(warnings.contains(part), "{warnings}");
        }
        let sent = bodies(&gateway).pop().unwrap();
        let roles: Vec<&str> = sent["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["role"].as_str().unwrap())
            .collect();
        assert_eq!(
            roles,
            [
                "system",
                "user",
                "assistant",
                "tool",
                "tool",
                "tool",
                "user",
                "user",
                "assistant",
                "assistant",
                "user"
            ],
            "{sent}"
        );
    }
}

#[tokio::test]
async fn gpt_has_tools_only_without_reasoning() {
    let gateway = gateway().await;
    let request = with(ask("gpt", "use look please"), "tools", tools());
    let reply = answered(&gateway, &request).await;
    assert!(
        reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("reasoning: turned off")
    );
    assert_eq!(bodies(&gateway)[0]["reasoning_effort"], "none");
    let both = with(request, "reasoning_effort", "high");
    let rejected = gateway.chat(&both).await;
    assert_eq!(rejected.error()["param"], "reasoning_effort");
    assert_eq!(bodies(&gateway).len(), 1, "nothing more was sent");
}
