//! Sends one request with everything to every model of the catalogue. The simulator judges it by AWS's rules.

use std::collections::HashMap;

use lintel::{
    call::{Caller, Delivery, Warnings},
    catalogue,
    error::Kind,
    model::{Model, Target},
    operation::Operation,
    upstream::converse::{self, Context},
};
use serde_json::{Value, json};

use crate::requests::bytes;

/// Schemas as Zod, Pydantic and MCP servers write them.
fn schemas() -> Vec<Value> {
    let node = json!({"type": "object", "title": "Node", "properties": {"next": {"$ref": "#/$defs/Node"}}});
    vec![
        json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "additionalProperties": false,
               "properties": {"city": {"type": "string", "minLength": 1}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
               "required": ["city"]}),
        json!({"title": "Search", "description": "Searches.", "type": "object",
               "properties": {"limit": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": null, "title": "Limit"},
                              "order": {"$ref": "#/$defs/Order"}},
               "$defs": {"Order": {"enum": ["up", "down"], "title": "Order", "type": "string"}}}),
        json!({"type": "object", "oneOf": [
            {"properties": {"kind": {"const": "a"}, "x": {"type": "number"}}, "required": ["kind", "x"]},
            {"properties": {"kind": {"const": "b"}, "y": {"type": "string"}}, "required": ["kind"]}]}),
        json!({"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}],
               "$defs": {"A": {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=x)y"}}}}}),
        json!({"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                         {"properties": {"b": {"type": "array", "items": {"type": "string"}, "maxItems": 3}}}]}),
        json!({"$ref": "#/$defs/Node", "$defs": {"Node": node}}),
        json!({"type": ["object", "null"], "properties": {"a": {"oneOf": [{"type": "string"}, {"type": "object"}]}}}),
        json!({"type": null}),
        json!({}),
        json!({"type": "array", "items": {"$ref": "#/$defs/I"}, "$defs": {"I": {"type": "string"}}}),
        json!({"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1}),
        json!({"type": "object", "properties": (0..29).map(|n| (format!("p{n}"), json!({"type": ["string", "null"]}))).collect::<serde_json::Map<_, _>>()}),
    ]
}

/// Returns tools with all schemas, each once and each strict.
fn tools() -> Value {
    let both = schemas()
        .into_iter()
        .flat_map(|schema| [(schema.clone(), None), (schema, Some(true))]);
    let functions = both.enumerate().map(|(n, (schema, strict))| {
        json!({"type": "function", "function": {"name": format!("f{n}"), "description": "Does it.", "parameters": schema, "strict": strict}})
    });
    functions.collect()
}

/// Returns request bodies that use everything that a model with or without tools may support.
fn bodies(has_tools: bool) -> Vec<Value> {
    let base = json!({
        "model": "m", "n": 2, "max_tokens": 50, "max_completion_tokens": 60, "temperature": 0.7, "top_p": 0.9, "top_k": 5,
        "stop": ["END", "\nObservation:", " ", "|"], "seed": 1, "frequency_penalty": 0.5, "presence_penalty": 0.5,
        "logprobs": false, "logit_bias": {}, "user": "u", "metadata": {"a": "b"}, "parallel_tool_calls": false,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
                     {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Go on"}],
    });
    let with = |members: Value| {
        let mut body = base.clone();
        if let (Value::Object(body), Value::Object(members)) = (&mut body, members) {
            body.extend(members);
        }
        body
    };
    let mut bodies = vec![
        base.clone(),
        with(json!({"response_format": {"type": "json_object"}})),
    ];
    for effort in ["none", "minimal", "low", "high", "max"] {
        bodies.push(with(json!({"reasoning_effort": effort})));
    }
    for schema in schemas() {
        for strict in [false, true] {
            let format = json!({"type": "json_schema", "json_schema": {"name": "a", "strict": strict, "schema": schema}});
            bodies.push(with(
                json!({"response_format": format, "reasoning_effort": strict.then_some("low")}),
            ));
        }
    }
    if has_tools {
        let format =
            json!({"type": "json_schema", "json_schema": {"name": "a", "schema": schemas()[1]}});
        let all = tools();
        let few = Value::from(&all.as_array().unwrap()[..3]);
        bodies.push(with(json!({"tools": all, "response_format": format})));
        let named = json!({"type": "function", "function": {"name": "f2"}});
        for choice in [json!("auto"), json!("none"), json!("required"), named] {
            for effort in [None, Some("low")] {
                bodies.push(with(
                    json!({"tools": few, "tool_choice": choice, "reasoning_effort": effort}),
                ));
            }
        }
        let call = json!({"id": "call_1", "type": "function", "function": {"name": "f0", "arguments": "{\"city\":\"a\",\"city\":\"b\"}"}});
        let loop_ = json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [call]},
                           {"role": "tool", "tool_call_id": "call_1", "content": "{\"ok\":true}"}]);
        bodies.push(with(json!({"messages": loop_, "tools": few})));
        bodies.push(with(json!({"messages": loop_})));
        bodies.push(with(
            json!({"functions": [{"name": "f", "parameters": schemas()[2]}]}),
        ));
    }
    bodies
}

/// Checks that the simulator accepts what the gateway sends for `body`.
fn check(id: &str, model: &Model, text: &str) {
    let (caller, warnings) = (Caller::default(), Warnings::default());
    let chat = lintel::edge::chat_request(text.as_bytes(), &warnings).unwrap();
    let plan = chat.plan(model, &caller).unwrap();
    let cx = Context {
        model,
        caller: &caller,
        warnings: &warnings,
        messages: &chat.messages,
        extras: Default::default(),
    };
    let translated = match converse::chat_request(&chat, &cx) {
        Ok(translated) => translated,
        Err(error) => panic!("{id}: {error} [{:?}]: {text}", error.param()),
    };
    let sent = serde_json::to_vec(&translated.request).unwrap();
    let stream = plan.delivery == Delivery::Stream;
    let sent_text = String::from_utf8_lossy(&sent);
    lintel::simulator::validate(id, &sent, stream)
        .unwrap_or_else(|error| panic!("{id}: {error:?}\n{text}\n{sent_text}"));
    let sent: Value = serde_json::from_slice(&sent).unwrap();
    let input = ["system", "messages", "toolConfig", "outputConfig"].map(|part| bytes(&sent[part]));
    let (input, reserved) = (input.iter().sum::<usize>() as u64, plan.worst.input_tokens);
    let window = model.facts.context_window.unwrap_or(u64::MAX);
    assert!(
        input <= reserved || reserved >= window,
        "{id}: {input} bytes, {reserved} reserved: {text}"
    );
}

/// The old code sent, for example, `stopSequences` to Llama, root unions to Claude, `$schema` to Nova and 29 optional
/// members in a native schema.
#[test]
fn every_model_accepts_everything_that_its_facts_support() {
    let (mut served, mut elsewhere, mut rejected) = (0, 0, 0);
    let mut all = HashMap::new();
    for id in catalogue::ids() {
        let model = catalogue::model("m", Target::new(id, "us-east-1"));
        let chats = model.facts.modality == "chat"
            && model.facts.routes.contains(&lintel::call::Route::Converse);
        let hello = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
        if !chats {
            let chat =
                lintel::edge::chat_request(hello.to_string().as_bytes(), &Warnings::default())
                    .unwrap();
            let Err(error) = chat.plan(&model, &Caller::default()) else {
                // Its other routes have tests of their own.
                assert_eq!(model.facts.modality, "chat", "{id}");
                elsewhere += 1;
                continue;
            };
            assert_eq!(
                (error.kind(), error.code()),
                (Kind::NotFound, Some("model_not_found")),
                "{id}: {error}"
            );
            rejected += 1;
            continue;
        }
        served += 1;
        // Half of the bodies are streamed, and other ones where streams with tools differ.
        let has_tools = model.facts.tools;
        let streams = has_tools && !model.facts.stream_with_tools;
        let bodies = all.entry((has_tools, streams)).or_insert_with(|| {
            let numbered = bodies(has_tools).into_iter().enumerate();
            let text = |(n, mut body): (usize, Value)| {
                body["stream"] = ((n % 2 == 0) != streams).into();
                body.to_string()
            };
            numbered.map(text).collect::<Vec<String>>()
        });
        for body in bodies {
            check(id, &model, body);
        }
    }
    assert_eq!((served + elsewhere + rejected, served > 100), (176, true));
}
