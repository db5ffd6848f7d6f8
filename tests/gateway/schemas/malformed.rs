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
