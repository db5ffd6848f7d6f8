//! Tools: namespaces, free text, searches for tools, and tools that are not available.

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    asking, call, events, function, items_of, last_response, scripted, streamed, types, with,
};
use crate::support::Gateway;

#[tokio::test]
async fn namespaced_tool_is_called_by_its_bare_name() {
    let gateway = Gateway::start().await;
    let tools = json!([{
        "type": "namespace", "name": "clock", "description": "About time.",
        "tools": [{"type": "function", "name": "sleep", "description": "Waits."}, function("wake")],
    }]);
    let mut request = with(asking("Please clock__sleep"), "tools", tools);
    let reply = gateway.respond(&request).await.json();
    let calls = items_of(&reply, "function_call");
    assert_eq!(calls[0]["name"], "sleep", "{reply}");
    assert_eq!(calls[0]["namespace"], "clock");
    let sent = gateway.last_sent();
    let tools = sent["toolConfig"]["tools"].as_array().unwrap();
    assert_eq!(tools[0]["toolSpec"]["name"], "clock__sleep");
    assert_eq!(tools[0]["toolSpec"]["description"], "About time.\n\nWaits.");
    assert_eq!(tools[1]["toolSpec"]["name"], "clock__wake");
    request["input"] = json!([
        {"role": "user", "content": "Go"},
        {"type": "function_call", "call_id": "call_1", "namespace": "clock", "name": "sleep", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "slept"},
    ]);
    // A model that can be forced to call a tool.
    request["model"] = "nova".into();
    request["tool_choice"] = json!({"type": "function", "name": "wake", "namespace": "clock"});
    let reply = gateway.respond(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let sent = gateway.last_sent();
    assert_eq!(
        sent["messages"][1]["content"][0]["toolUse"]["name"],
        "clock__sleep"
    );
    assert_eq!(
        sent["toolConfig"]["toolChoice"]["tool"]["name"],
        "clock__wake"
    );
}

#[tokio::test]
async fn custom_tool_gets_text() {
    let gateway = Gateway::start().await;
    let format = json!({"type": "grammar", "syntax": "lark", "definition": "start: /a+/"});
    let tool = json!({"type": "custom", "name": "apply_patch", "description": "Patches.", "format": format});
    let input = "*** Begin \"Patch\"\nline 1\nline 2";
    let content = [call("tooluse_1", "apply_patch", json!({"input": input}))];
    gateway
        .simulator
        .script(scripted(&content, "tool_use", true));
    let request = with(asking("Go"), "tools", json!([tool]));
    let reply = gateway.respond(&streamed(request.clone())).await;
    let events = events(&reply);
    // The model writes the input in pieces.
    let pieces = |event: &&Value| event["type"] == "response.custom_tool_call_input.delta";
    let pieces: Vec<_> = events.iter().filter(pieces).collect();
    assert!(pieces.len() > 1, "{pieces:?}");
    let texts = pieces.iter().filter_map(|event| event["delta"].as_str());
    assert_eq!(texts.collect::<String>(), input);
    let mut types = types(&events);
    types.dedup();
    assert_eq!(
        types,
        [
            "created",
            "in_progress",
            "output_item.added",
            "custom_tool_call_input.delta",
            "custom_tool_call_input.done",
            "output_item.done",
            "completed",
        ]
    );
    let done = &events[events.len() - 3];
    assert_eq!(done["input"], input);
    let item = &last_response(&events)["output"][0];
    assert_eq!(item["type"], "custom_tool_call");
    assert_eq!(item["name"], "apply_patch");
    assert_eq!(item["input"], input);
    let spec = &gateway.last_sent()["toolConfig"]["tools"][0]["toolSpec"];
    assert!(
        spec["description"]
            .as_str()
            .unwrap()
            .contains("start: /a+/")
    );
    let mut again = request;
    again["input"] = json!([
        {"role": "user", "content": "Go"},
        {"type": "custom_tool_call", "call_id": "tooluse_1", "name": "apply_patch", "input": input},
        {"type": "custom_tool_call_output", "call_id": "tooluse_1", "output": "Done"},
    ]);
    let reply = gateway.respond(&again).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let sent = gateway.last_sent();
    assert_eq!(
        sent["messages"][1]["content"][0]["toolUse"]["input"],
        json!({"input": input})
    );
}

#[tokio::test]
async fn tool_search_runs_at_the_client_and_adds_what_it_found() {
    let gateway = Gateway::start().await;
    let search = json!({"type": "tool_search", "execution": "client", "description": "Finds tools.", "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}});
    let mut deferred = function("hidden");
    deferred["defer_loading"] = true.into();
    let tools = json!([search, deferred.clone()]);
    let mut request = with(asking("Use tool_search"), "tools", tools);
    let reply = gateway.respond(&request).await.json();
    let item = items_of(&reply, "tool_search_call").remove(0);
    assert_eq!(item["execution"], "client");
    assert!(item["arguments"]["query"].is_string(), "{item}");
    assert!(item["call_id"].is_string());
    let sent = gateway.last_sent();
    assert_eq!(sent["toolConfig"]["tools"].as_array().unwrap().len(), 1);
    request["input"] = json!([
        {"role": "user", "content": "Go"}, item,
        {"type": "tool_search_output", "call_id": item["call_id"], "execution": "client", "status": "completed", "tools": [deferred]},
        {"role": "user", "content": "Now hidden"},
    ]);
    let reply = gateway.respond(&request).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let sent = gateway.last_sent();
    assert_eq!(sent["toolConfig"]["tools"][1]["toolSpec"]["name"], "hidden");
    let result = sent["messages"][2]["content"][0].to_string();
    assert!(result.contains("now available: hidden"), "{result}");
}

#[tokio::test]
async fn additional_tools_join_the_list() {
    let gateway = Gateway::start().await;
    let mut request = asking("");
    request["input"] = json!([
        {"type": "additional_tools", "role": "developer", "tools": [
            {"type": "namespace", "name": "functions", "description": "", "tools": [function("look")]}
        ]},
        {"role": "user", "content": "functions__look"},
    ]);
    let reply = gateway.respond(&request).await.json();
    let call = items_of(&reply, "function_call").remove(0);
    assert_eq!(
        (&call["name"], &call["namespace"]),
        (&json!("look"), &json!("functions"))
    );
}

#[tokio::test]
async fn tools_that_are_not_available_are_dropped_among_others() {
    let gateway = Gateway::start().await;
    let hosted = json!([function("look"), {"type": "web_search", "external_web_access": true}, {"type": "hologram"}]);
    let reply = gateway
        .respond(&with(asking("Hi"), "tools", hosted.clone()))
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    let warnings = reply.header("x-lintel-warnings").unwrap();
    assert!(
        warnings.contains("tools[1]: ignored, 'web_search'"),
        "{warnings}"
    );
    assert!(
        warnings.contains("tools[2]: ignored, 'hologram'"),
        "{warnings}"
    );
    assert_eq!(reply.json()["tools"], hosted);
    for tool in [json!({"type": "hologram"}), json!({"type": "web_search"})] {
        let reply = gateway
            .respond(&with(asking("Hi"), "tools", json!([tool])))
            .await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{tool}");
        assert_eq!(reply.error()["code"], "unsupported_parameter");
    }
    let mut forced = with(asking("Hi"), "tools", hosted);
    forced["tool_choice"] = json!({"type": "web_search"});
    let reply = gateway.respond(&forced).await;
    assert_eq!(reply.error()["param"], "tool_choice.type");
    // A history with calls and no tools is what a compaction sends.
    let reply = gateway
        .respond(&with(asking("Hi"), "tools", json!([])))
        .await;
    assert_eq!(reply.status, StatusCode::OK);
}

#[tokio::test]
async fn tool_choice_names_one_tool_or_some() {
    let gateway = Gateway::start().await;
    let mut request = with(
        asking("Hi"),
        "tools",
        json!([function("look"), function("jump")]),
    );
    request["tool_choice"] = json!({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "jump"}]});
    let reply = gateway.respond(&request).await.json();
    assert_eq!(
        items_of(&reply, "function_call")[0]["name"],
        "jump",
        "{reply}"
    );
    request["tool_choice"] = json!({"type": "function", "name": "nope"});
    let error = gateway.respond(&request).await.error();
    assert_eq!(error["param"], "tool_choice.name");
    request["tool_choice"] = "sometimes".into();
    let error = gateway.respond(&request).await.error();
    assert_eq!(error["param"], "tool_choice");
    request["tool_choice"] = "none".into();
    request["input"] = "jump".into();
    let reply = gateway.respond(&request).await.json();
    assert_eq!(items_of(&reply, "function_call"), Vec::<Value>::new());
    request["tools"][0]["parameters"] = json!("no schema");
    let error = gateway.respond(&request).await.error();
    assert_eq!(error["param"], "tools[0].parameters");
}

#[tokio::test]
async fn calls_that_arrive_together_become_items_one_after_the_other() {
    let gateway = Gateway::start().await;
    let mut request = with(
        asking("look and jump"),
        "tools",
        json!([function("look"), function("jump")]),
    );
    request["model"] = "openai.gpt-oss-20b-1:0".into();
    let whole = gateway.respond_any(&request).await;
    assert_eq!(whole.status, StatusCode::OK, "{}", whole.text());
    let events = events(&gateway.respond_any(&streamed(request)).await);
    let mut open = 0;
    for event in &events {
        match event["type"].as_str().unwrap() {
            "response.output_item.added" => open += 1,
            "response.output_item.done" => open -= 1,
            _ => {}
        }
        assert!((0..=1).contains(&open), "one item at a time");
    }
    let last = last_response(&events);
    let names = |response: &Value| -> Vec<Value> {
        let calls = items_of(response, "function_call").into_iter();
        calls
            .map(|call| json!([call["name"], call["arguments"]]))
            .collect()
    };
    assert_eq!(names(&last), names(&whole.json()));
    assert_eq!(names(&last).len(), 2);
}
