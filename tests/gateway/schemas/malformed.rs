//! Keywords with a value of the wrong JSON type, which some languages and older drafts write.

use serde_json::{Value, json};

use super::{HAIKU, LLAMA, NOVA, with_tool};

/// Sends `sent` as the schema of a tool and returns what the model receives.
fn received(id: &str, sent: &str) -> Value {
    with_tool(id, sent).schema().clone()
}

/// The old code sent `"properties":[]`, which Bedrock rejects for every model.
#[test]
fn empty_lists_and_null_become_what_they_stand_for() {
    for id in [HAIKU, NOVA, LLAMA] {
        for sent in [
            r#"{"type":"object","properties":[]}"#,
            r#"{"type":"object","properties":[],"required":null}"#,
            r#"{"type":"object","properties":{},"required":null,"description":null}"#,
        ] {
            let expected = json!({"type": "object", "properties": {}});
            assert_eq!(received(id, sent), expected, "{id} {sent}");
        }
    }
}

/// The old code sent `"required":true`.
#[test]
fn required_that_is_no_list_is_left_out_with_a_warning() {
    let sent = with_tool(
        HAIKU,
        r#"{"type":"object","properties":{"a":{"type":"string","required":true}}}"#,
    );
    assert_eq!(
        sent.schema(),
        &json!({"type": "object", "properties": {"a": {"type": "string"}}})
    );
    assert_eq!(
        sent.warnings,
        "tools[0].function.parameters: 'required' was left out where it is not a list of names (Bedrock rejects it)"
    );
}

/// The old code sent the flags and the list, which are invalid in draft 2020-12, so Claude rejected all tools.
#[test]
fn keywords_of_older_drafts_are_rewritten() {
    let sent = r#"{"type":"object","properties":{"ttl":{"type":"integer","exclusiveMinimum":true,"minimum":0},
        "pair":{"type":"array","items":[{"type":"string"},{"type":"integer"}],"additionalItems":false},
        "any":{"type":null}}}"#;
    let properties = json!({
        "ttl": {"type": "integer", "exclusiveMinimum": 0},
        "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": false},
        "any": {}});
    for id in [HAIKU, NOVA, LLAMA] {
        let expected = json!({"type": "object", "properties": properties});
        assert_eq!(received(id, sent), expected, "{id}");
    }
}

/// A reference by place, as zod-to-json-schema writes it, must follow the list that it refers to.
#[test]
fn references_into_lists_of_items_are_rewritten() {
    let sent = r##"{"type":"object","properties":{"a":{"type":"array","items":[{"type":"string"}]},
        "b":{"$ref":"#/properties/a/items/0"}}}"##;
    let list = json!({"type": "array", "prefixItems": [{"type": "string"}]});
    for (id, b) in [
        (HAIKU, json!({"$ref": "#/properties/a/prefixItems/0"})),
        (NOVA, json!({"type": "string"})),
    ] {
        let expected = json!({"type": "object", "properties": {"a": list, "b": b}});
        assert_eq!(received(id, sent), expected, "{id}");
    }
}

/// The old code sent `"a":null` and the `null` in `anyOf`, which are no schemas.
#[test]
fn null_in_place_of_a_schema_is_repaired() {
    let sent = r#"{"type":"object","properties":{"a":null,"b":{"anyOf":[null,{"type":"string"}]}},
        "required":["a",null]}"#;
    let expected = json!({"type": "object", "required": ["a"],
        "properties": {"a": {}, "b": {"anyOf": [{"type": "string"}]}}});
    assert_eq!(received(HAIKU, sent), expected);
}
