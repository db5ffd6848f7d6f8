//! Tool loops: the order of items, the results of calls, and reasoning that a plain client does not send back.

use serde_json::{Value, json};

use super::{answered, ask, gateway, last, tools, with};

fn kinds(body: &Value) -> Vec<String> {
    let items = body["input"].as_array().unwrap().iter();
    let kinds = items.map(|item| match item["role"].as_str() {
        Some(role) => role.to_owned(),
        None => item["type"].as_str().unwrap().to_owned(),
    });
    kinds.collect()
}

/// Returns the request of the next turn of a client that drops all that OpenAI's chat completions do not have.
fn next(request: &Value, message: &Value) -> Value {
    let mut request = request.clone();
    let messages = request["messages"].as_array_mut().unwrap();
    let calls = message["tool_calls"].clone();
    messages.push(
        json!({"role": "assistant", "content": message["content"], "tool_calls": calls.clone()}),
    );
    for call in calls.as_array().unwrap() {
        messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "found"}));
    }
    request
}

#[tokio::test]
async fn encrypted_reasoning_is_replayed_before_its_calls() {
    let gateway = gateway().await;
    for model in ["gpt", "daybreak"] {
        for stream in [false, true] {
            let request = with(ask(model, "use look and find_it"), "tools", tools());
            let request = with(request, "reasoning_effort", "high");
            let message = match stream {
                false => answered(&gateway, &request).await.json()["choices"][0]["message"].clone(),
                true => {
                    let reply = answered(&gateway, &with(request.clone(), "stream", true)).await;
                    crate::golden::replies::joined(&reply.events()).0
                }
            };
            assert_eq!(message["tool_calls"].as_array().unwrap().len(), 2);
            assert_eq!(message["tool_calls"][1]["function"]["name"], "find.it");
            let reply = answered(&gateway, &next(&request, &message)).await;
            assert_eq!(reply.content(), "You said: found found");
            let (_, body) = last(&gateway);
            assert_eq!(
                kinds(&body),
                [
                    "user",
                    "reasoning",
                    "function_call",
                    "function_call",
                    "function_call_output",
                    "function_call_output",
                ],
                "{body}"
            );
            // The simulator rejects encrypted content that was changed.
            assert!(body["input"][1]["encrypted_content"].is_string());
            assert_eq!(
                body["input"][2]["call_id"], body["input"][4]["call_id"],
                "{body}"
            );
        }
    }
}

#[tokio::test]
async fn reasoning_that_the_client_sends_back_is_replayed_and_that_of_others_is_not() {
    let gateway = gateway().await;
    let request = with(ask("gpt", "Hi"), "reasoning_effort", "high");
    let message = answered(&gateway, &request).await.json()["choices"][0]["message"].clone();
    assert_eq!(message["thinking_blocks"][0]["type"], "redacted_thinking");
    let mut again = request.clone();
    let messages = again["messages"].as_array_mut().unwrap();
    messages.push(message.clone());
    messages.push(json!({"role": "user", "content": "And now?"}));
    answered(&gateway, &again).await;
    assert_eq!(
        kinds(&last(&gateway).1),
        ["user", "reasoning", "assistant", "user"]
    );
    // Neither a model's reasoning on Converse nor an item of the client's own making.
    let converse = with(again.clone(), "model", "gpt_converse");
    let reply = answered(&gateway, &converse).await;
    assert!(
        reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("thinking_blocks")
    );
    let data = message["thinking_blocks"][0]["data"].as_str().unwrap();
    let (mark, _) = data.rsplit_once('.').unwrap();
    let forged = format!("{mark}.eyJ0eXBlIjoiaXRlbV9yZWZlcmVuY2UiLCJpZCI6InJzXzEifQ==");
    again["messages"][1]["thinking_blocks"][0]["data"] = forged.into();
    let reply = answered(&gateway, &again).await;
    assert!(
        reply
            .header("x-lintel-warnings")
            .unwrap()
            .contains("thinking_blocks")
    );
    assert_eq!(kinds(&last(&gateway).1), ["user", "assistant", "user"]);
}

#[tokio::test]
async fn every_call_of_a_history_has_its_result_in_order() {
    let gateway = gateway().await;
    let call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "look", "arguments": arguments}});
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call("a", ""), call("b", "{\"x\":1"), call("a", "{}")]},
        {"role": "user", "content": "meanwhile"},
        {"role": "tool", "tool_call_id": "b", "content": "of b"},
        {"role": "tool", "tool_call_id": "zzz", "content": "of none"},
        {"role": "system", "content": "Be kind."},
        {"role": "assistant", "content": "So.", "tool_calls": [call("a", "{}")]},
        {"role": "tool", "tool_call_id": "a", "content": "of a"},
        {"role": "assistant", "content": "Well."},
    ]);
    for model in ["gpt", "oss"] {
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
        let (_, body) = last(&gateway);
        assert_eq!(body["instructions"], "Be brief.");
        assert_eq!(
            kinds(&body),
            [
                "user",
                "assistant",
                "function_call",
                "function_call_output",
                "function_call",
                "function_call",
                "function_call_output",
                "user",
                "function_call_output",
                "user",
                "system",
                "assistant",
                "function_call",
                "function_call_output",
                "assistant",
                "user",
            ],
            "{body}"
        );
    }
}

#[tokio::test]
async fn tool_choice_is_forced_where_the_model_supports_it() {
    let gateway = gateway().await;
    let request = |model, choice: Value| {
        with(
            with(ask(model, "Hi"), "tools", tools()),
            "tool_choice",
            choice,
        )
    };
    let named = json!({"type": "function", "function": {"name": "find.it"}});
    let reply = answered(&gateway, &request("gpt", named.clone())).await;
    assert_eq!(
        last(&gateway).1["tool_choice"],
        json!({"type": "function", "name": "find_it"})
    );
    let call = &reply.json()["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["function"]["name"], "find.it");
    answered(&gateway, &request("gpt", "required".into())).await;
    assert_eq!(last(&gateway).1["tool_choice"], "required");
    // gpt-oss supports only `auto`, so it is instructed.
    let reply = answered(&gateway, &request("oss", named)).await;
    assert_eq!(last(&gateway).1["tool_choice"], "auto");
    let call = &reply.json()["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["function"]["name"], "find.it");
}
