//! Strict schemas, whose limits hold for a whole request.

use serde_json::{Value, json};

use super::{HAIKU, Sent, translate};

/// Translates a request with tools that have these schemas and `strict`, and with a response format.
pub fn with_strict(tools: &[Value], format: Option<(Value, bool)>) -> Sent {
    let tools = tools.iter().enumerate().map(|(n, schema)| {
        json!({"type": "function", "function": {"name": format!("f{n}"), "strict": true, "parameters": schema}})
    });
    let format = format.map(|(schema, strict)| {
        json!({"type": "json_schema", "json_schema": {"name": "a", "strict": strict, "schema": schema}})
    });
    let request = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "response_format": format,
                         "tools": tools.collect::<Vec<_>>()});
    translate(HAIKU, &request.to_string())
}

/// A schema with this many required members that may be `null`.
pub fn nullable(count: usize) -> Value {
    let names = (0..count).map(|n| format!("p{n}"));
    let properties = names
        .clone()
        .map(|name| (name, json!({"type": ["string", "null"]})));
    json!({"type": "object", "properties": properties.collect::<serde_json::Map<_, _>>(), "required": names.collect::<Vec<_>>()})
}

/// A schema with this many optional members.
fn optional(count: usize) -> Value {
    let properties = (0..count).map(|n| (format!("p{n}"), json!({"type": "string"})));
    json!({"type": "object", "properties": properties.collect::<serde_json::Map<_, _>>()})
}

/// The old code sent a 21st strict tool.
#[test]
fn strict_tools_beyond_the_limit_of_the_request_are_not_strict() {
    let sent = with_strict(&vec![optional(0); 21], None);
    assert_eq!(
        (&sent.tool(19)["strict"], &sent.tool(20)["strict"]),
        (&json!(true), &Value::Null)
    );
    assert!(
        sent.warnings.contains("tools[20].function.strict"),
        "{}",
        sent.warnings
    );
}

/// The old code counted the schemas one by one.
#[test]
fn strict_schemas_share_the_limits_and_the_response_format_is_first() {
    let sent = with_strict(
        &[optional(10), optional(5), optional(4)],
        Some((optional(10), false)),
    );
    assert!(
        sent.body["outputConfig"]["textFormat"].is_object(),
        "{}",
        sent.body
    );
    let strict: Vec<bool> = (0..3).map(|n| sent.tool(n)["strict"] == true).collect();
    assert_eq!(strict, [true, false, true]);
    assert!(
        sent.warnings
            .contains("tools[1].function.strict: not sent (the model's limit on optional members"),
        "{}",
        sent.warnings
    );
    let unions = |count: usize| {
        let mut schema = optional(count);
        schema["required"] = schema["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        for (_, property) in schema["properties"].as_object_mut().unwrap() {
            *property = json!({"anyOf": [{"type": "string"}, {"type": "integer"}]});
        }
        schema
    };
    let sent = with_strict(&[unions(10), unions(10), unions(6)], None);
    let strict: Vec<bool> = (0..3).map(|n| sent.tool(n)["strict"] == true).collect();
    assert_eq!(strict, [true, false, true]);
}

/// Tools that are not sent do not count.
#[test]
fn only_allowed_tools_take_their_share_of_the_limits() {
    let tools = ["f0", "f1"].map(|name| {
        json!({"type": "function", "function": {"name": name, "strict": true, "parameters": optional(20)}})
    });
    let allowed = json!({"mode": "auto", "tools": [{"function": {"name": "f1"}}]});
    let request = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "tools": tools,
                         "tool_choice": {"type": "allowed_tools", "allowed_tools": allowed}});
    let sent = translate(HAIKU, &request.to_string());
    assert_eq!(
        (&sent.tool(0)["name"], &sent.tool(0)["strict"]),
        (&json!("f1"), &json!(true))
    );
}

/// The old code sent the schema natively, and Claude rejects it.
#[test]
fn a_response_format_beyond_the_limits_is_emulated_by_a_tool() {
    let sent = with_strict(&[], Some((optional(29), false)));
    assert!(sent.body["outputConfig"].is_null(), "{}", sent.body);
    assert_eq!(sent.body["toolConfig"]["toolChoice"]["tool"]["name"], "a");
    assert!(
        sent.warnings
            .contains("emulated by a tool (the model's limit on optional members"),
        "{}",
        sent.warnings
    );
    // OpenAI's strict schemas have no optional members.
    let sent = with_strict(&[], Some((optional(29), true)));
    assert!(
        sent.body["outputConfig"]["textFormat"].is_object(),
        "{}",
        sent.body
    );
}

/// The old code rejected it, although a tool, or an instruction, can have it.
#[test]
fn a_recursive_response_format_is_emulated() {
    let tree = json!({"$ref": "#/$defs/Node", "$defs": {"Node": {"type": "object", "properties": {
        "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}}}, "required": ["children"], "additionalProperties": false}}});
    let sent = with_strict(&[], Some((tree, true)));
    assert!(sent.body["outputConfig"].is_null(), "{}", sent.body);
    assert_eq!(sent.body["toolConfig"]["toolChoice"]["tool"]["name"], "a");
    assert!(
        sent.warnings
            .contains("emulated by a tool (its schema is recursive"),
        "{}",
        sent.warnings
    );
}

/// The old code closed maps, so that they could only be empty.
#[test]
fn a_response_format_with_a_map_is_not_sent_natively() {
    let map = json!({"type": "object", "properties": {"m": {"type": "object", "additionalProperties": {"type": "number"}}}});
    let sent = with_strict(&[], Some((map.clone(), false)));
    assert_eq!(sent.tool(0)["inputSchema"]["json"], map);
}

/// The old code asked for the list as the member `value` of an object, and the client received that object.
#[test]
fn a_response_format_that_is_no_object_keeps_its_form() {
    let list = json!({"type": "array", "items": {"type": "string"}});
    let sent = with_strict(&[], Some((list, false)));
    assert!(sent.body["toolConfig"].is_null() && sent.body["outputConfig"].is_null());
    assert!(
        sent.body["system"][0]["text"]
            .as_str()
            .unwrap()
            .contains(r#""type":"array""#)
    );
}

/// The old code sent keywords that strict tools do not support, such as `maxItems`.
#[test]
fn strict_tools_get_unsupported_keywords_in_the_description() {
    let list = json!({"type": "object", "properties": {"l": {"type": "array", "items": {"type": "string"}, "maxItems": 3}}});
    let sent = with_strict(&[list], None);
    assert_eq!(sent.tool(0)["strict"], true);
    assert_eq!(
        sent.schema()["properties"]["l"],
        json!({"type": "array", "items": {"type": "string"}, "description": "(maxItems: 3)"})
    );
}
