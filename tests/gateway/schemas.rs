//! Schemas of tools and structured answers, as each family receives them.

mod closed;
mod malformed;
mod strict;

use lintel::{
    call::{Caller, Delivery, Warnings},
    catalogue,
    model::Target,
    operation::Operation,
    upstream::converse::{self, Context},
};
use serde_json::{Value, json};

const HAIKU: &str = "us.anthropic.claude-haiku-4-5-20251001-v1:0";
const NOVA: &str = "amazon.nova-lite-v1:0";
const LLAMA: &str = "us.meta.llama4-maverick-17b-instruct-v1:0";

/// What Bedrock receives, with the warnings of the call.
struct Sent {
    body: Value,
    warnings: String,
}

impl Sent {
    fn tool(&self, nth: usize) -> &Value {
        &self.body["toolConfig"]["tools"][nth]["toolSpec"]
    }

    fn schema(&self) -> &Value {
        &self.tool(0)["inputSchema"]["json"]
    }
}

/// Translates a request for the model `id`. The simulator must accept the result, and nothing may be
/// reported as dropped.
fn translate(id: &str, request: &str) -> Sent {
    let (warnings, caller) = (Warnings::default(), Caller::default());
    let chat = lintel::edge::chat_request(request.as_bytes(), &warnings).unwrap();
    let model = catalogue::model("m", Target::new(id, "us-east-1"));
    let plan = chat.plan(&model, &caller).unwrap();
    let cx = Context {
        model: &model,
        caller: &caller,
        warnings: &warnings,
        messages: &chat.messages,
        extras: Default::default(),
    };
    let translated = converse::chat_request(&chat, &cx).unwrap();
    let body = serde_json::to_string(&translated.request).unwrap();
    let stream = plan.delivery == Delivery::Stream;
    lintel::simulator::validate(id, body.as_bytes(), stream)
        .unwrap_or_else(|error| panic!("{id}: {error:?}: {body}"));
    assert_eq!(warnings.first_dropped(), None);
    Sent {
        body: serde_json::from_str(&body).unwrap(),
        warnings: warnings.joined().unwrap_or_default(),
    }
}

/// Translates a request with one tool that has this schema, given as text.
fn with_tool(id: &str, schema: &str) -> Sent {
    let request = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}}],
            "tools":[{{"type":"function","function":{{"name":"f","description":"Does it.","parameters":{schema}}}}}]}}"#
    );
    translate(id, &request)
}

/// The old code sent all keywords to Nova, which then ignores the tool.
#[test]
fn nova_receives_three_keywords_at_the_root_and_the_rest_in_words() {
    let schema = r##"{"$schema":"http://json-schema.org/draft-07/schema#","title":"Args","description":"All in meters.",
        "type":"object","properties":{"a":{"$ref":"#/$defs/A"}},"required":["a"],"additionalProperties":false,
        "minProperties":1,"$defs":{"A":{"type":"number"}}}"##;
    let sent = with_tool(NOVA, schema);
    assert_eq!(
        sent.schema().to_string(),
        r#"{"type":"object","properties":{"a":{"type":"number"}},"required":["a"]}"#
    );
    assert_eq!(
        sent.tool(0)["description"],
        "Does it.\nAll in meters.\nThe input must also fit this JSON schema: {\"minProperties\":1}"
    );
    assert!(
        sent.warnings.contains("$schema, title, description"),
        "{}",
        sent.warnings
    );
    // Other families accept these keywords.
    assert_eq!(with_tool(LLAMA, schema).schema()["title"], "Args");
    assert_eq!(with_tool(HAIKU, schema).warnings, "");
}

/// The old code sent `oneOf` at the root to Claude, which rejects the whole request.
#[test]
fn a_union_at_the_root_becomes_one_object_and_a_rule() {
    let one_of = r#"{"type":"object","properties":{"id":{"type":"string"}},"required":["id"],"oneOf":[
        {"properties":{"kind":{"type":"string","const":"a"},"x":{"type":"number"}},"required":["kind","x"]},
        {"properties":{"kind":{"type":"string","const":"b"},"x":{"type":"string"}},"required":["kind"]},
        {"type":"null"}]}"#;
    let merged = json!({"type": "object", "properties": {"id": {"type": "string"},
        "kind": {"type": "string", "enum": ["a", "b"]}, "x": {"anyOf": [{"type": "number"}, {"type": "string"}]}},
        "required": ["id", "kind"]});
    for id in [HAIKU, NOVA, "openai.gpt-6-sol", "moonshotai.kimi-k3"] {
        let sent = with_tool(id, one_of);
        assert_eq!(sent.schema(), &merged, "{id}");
        assert_eq!(
            sent.tool(0)["description"],
            "Does it.\nExactly one of these sets of members must be given: (kind = \"a\", x), (kind = \"b\", x (optional))."
        );
        assert!(
            sent.warnings
                .contains("oneOf at the root became one object"),
            "{}",
            sent.warnings
        );
    }
    assert!(with_tool(LLAMA, one_of).schema()["oneOf"].is_array());
    let all_of = r##"{"allOf":[{"$ref":"#/$defs/A"},{"properties":{"b":{"type":"string"}},"required":["b"]}],
        "$defs":{"A":{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}}}"##;
    let sent = with_tool(HAIKU, all_of);
    let both = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["a", "b"]});
    assert_eq!(
        (sent.schema(), &sent.tool(0)["description"]),
        (&both, &json!("Does it."))
    );
}

/// The old code rejected or doubled some of these roots: `"type": null` became `{"type":"object","type":null}`.
#[test]
fn every_root_becomes_one_of_objects() {
    let object = json!({"type": "object", "properties": {"a": {}}});
    for (root, expected) in [
        (r#"{"type":null,"properties":{"a":{}}}"#, object.clone()),
        (
            r#"{"type":["object","null"],"properties":{"a":{}}}"#,
            object.clone(),
        ),
        (
            r#"{"type":["object"],"properties":{"a":{}}}"#,
            object.clone(),
        ),
        (r#"{"type":[],"properties":{"a":{}}}"#, object.clone()),
        (r#"{"properties":{"a":{}}}"#, object.clone()),
        (
            r#"{"type":"object","properties":{"b":{}},"type":"object","properties":{"a":{},"a":{}}}"#,
            object,
        ),
        ("{}", json!({"type": "object"})),
        (
            r#"{"type":"array","items":{"type":"string"}}"#,
            json!({"type": "object", "properties": {"value": {"type": "array", "items": {"type": "string"}}}, "required": ["value"]}),
        ),
        (
            r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#,
            json!({"type": "object", "properties": {"value": {"anyOf": [{"type": "string"}, {"type": "null"}]}}, "required": ["value"]}),
        ),
    ] {
        for id in [HAIKU, NOVA, LLAMA] {
            assert_eq!(with_tool(id, root).schema(), &expected, "{id}: {root}");
        }
    }
    let recursive = r##"{"$ref":"#/$defs/N","$defs":{"N":{"type":"object","properties":{"n":{"$ref":"#/$defs/N"}}}}}"##;
    let sent = with_tool(HAIKU, recursive);
    assert_eq!(sent.schema()["type"], "object");
    assert_eq!(sent.schema()["properties"]["n"]["$ref"], "#/$defs/N");
    assert_eq!(
        with_tool(NOVA, recursive).schema()["properties"]["n"],
        json!({"type": "object"})
    );
}

/// The old code sent such a schema as it was.
#[test]
fn a_member_twice_in_a_schema_is_sent_once_with_a_warning() {
    let sent = with_tool(
        HAIKU,
        r#"{"type":"object","properties":{"a":{"type":"string","type":"number"}}}"#,
    );
    assert_eq!(sent.schema()["properties"]["a"], json!({"type": "number"}));
    assert!(
        sent.warnings.contains("only the last was sent"),
        "{}",
        sent.warnings
    );
}

/// The old code sent `{"city":"a","city":"b"}`, which Converse rejects.
#[test]
fn a_member_twice_in_the_arguments_of_a_history_is_sent_once() {
    let twice = r#"{\"city\":\"a\",\"city\":\"b\"}"#;
    let calls = [
        format!(r#"{{"role":"assistant","tool_calls":[{{"id":"c","type":"function","function":{{"name":"f","arguments":"{twice}"}}}}]}}"#),
        format!(r#"{{"role":"assistant","function_call":{{"name":"f","arguments":"{twice}"}}}}"#),
        r#"{"role":"assistant","content":[{"type":"tool_use","id":"c","name":"f","input":{"city":"a","city":"b"}}]}"#.to_owned(),
    ];
    for call in calls {
        let request = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}},{call}],
            "tools":[{{"type":"function","function":{{"name":"f"}}}}]}}"#
        );
        let sent = translate(HAIKU, &request);
        assert_eq!(
            sent.body["messages"][1]["content"][0]["toolUse"]["input"],
            json!({"city": "b"}),
            "{call}"
        );
        assert!(
            sent.warnings.contains(
                "messages: of members with the same name in the arguments of a tool call"
            ),
            "{}",
            sent.warnings
        );
    }
    let searched = r#"{"role":"assistant","content":"x","server_tool_blocks":[
        {"toolUse":{"toolUseId":"s","name":"nova_grounding","input":{"q":1,"q":2}}},
        {"toolResult":{"toolUseId":"s","type":"nova_grounding_result","content":[{"json":{"r":[{"u":1,"u":2}]}}]}}]}"#;
    let request = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}},{searched},{{"role":"user","content":"Go"}}]}}"#
    );
    let sent = translate("us.amazon.nova-premier-v1:0", &request);
    let text = sent.body["messages"].to_string();
    assert!(
        text.contains(r#"{"q":2}"#) && text.contains(r#"{"u":2}"#),
        "{text}"
    );
}

/// Writes each member of the JSON text twice: first with another value, then as it is.
fn doubled(json: &str) -> String {
    match serde_json::from_str::<Value>(json).unwrap() {
        Value::Object(members) => {
            let twice = members.iter().map(|(name, value)| {
                format!("\"{name}\":[0],\"{name}\":{}", doubled(&value.to_string()))
            });
            format!("{{{}}}", twice.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            let items = items.iter().map(|item| doubled(&item.to_string()));
            format!("[{}]", items.collect::<Vec<_>>().join(","))
        }
        plain => plain.to_string(),
    }
}

/// The simulator, like Converse, rejects a body with a name twice.
#[test]
fn no_json_of_the_client_leads_to_a_name_twice() {
    let schema =
        doubled(r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#);
    let arguments = Value::from(doubled(r#"{"a":{"b":[{"c":1}]}}"#));
    let input = doubled(r#"{"a":{"b":1}}"#);
    let request = format!(
        r#"{{"model":"m","metadata":{{"k":"1","k":"2","lintel_key_id":"3"}},
            "bedrock":{{"additional_model_request_fields":{{"x":{{"y":1,"y":2}},"x":{{"z":1}}}},"request_metadata":{{"k":"4","k":"5"}}}},
            "response_format":{{"type":"json_schema","json_schema":{{"name":"answer","schema":{schema}}}}},
            "tools":[{{"type":"function","function":{{"name":"f","parameters":{schema}}}}},
                     {{"type":"function","function":{{"name":"g","parameters":{schema},"strict":true}}}},
                     {{"type":"custom","custom":{{"name":"c","format":{input}}}}}],
            "messages":[{{"role":"user","content":"Hi"}},
                {{"role":"assistant","tool_calls":[{{"id":"1","type":"function","function":{{"name":"f","arguments":{arguments}}}}}]}},
                {{"role":"tool","tool_call_id":"1","content":{arguments}}},
                {{"role":"assistant","content":[{{"type":"tool_use","id":"2","name":"f","input":{input}}}]}},
                {{"role":"user","content":[{{"type":"tool_result","tool_use_id":"2","content":"x"}}]}}]}}"#
    );
    for id in [HAIKU, "deepseek.v3.2", "mistral.magistral-small-2509"] {
        let sent = translate(id, &request);
        assert_eq!(
            sent.body["messages"][1]["content"][0]["toolUse"]["input"],
            json!({"a": {"b": [{"c": 1}]}}),
            "{id}"
        );
    }
}
