//! What a request refers to, and the body with it.

use serde_json::{Value, json};

use super::*;

fn stored(id: &str, depth: u32, input: Value, output: Value) -> StoredResponse {
    let content = json!({"input": input, "response": {"status": "completed", "output": output}});
    StoredResponse {
        id: id.to_owned(),
        depth,
        content: content.to_string().into_bytes().into(),
    }
}

fn chain() -> Vec<StoredResponse> {
    vec![
        stored("resp_1", 1, json!(["a"]), json!([{"id": "msg_1"}])),
        stored("resp_2", 2, json!(["b"]), json!([{"id": "msg_2"}])),
    ]
}

fn input(body: &str, chain: &[StoredResponse]) -> (Value, usize) {
    let (body, stored) = spliced(body.as_bytes(), chain, chain).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["previous_response_id"], "resp_2");
    assert_eq!(body["model"], "m");
    (body["input"].clone(), stored)
}

/// Ten thousand references to one item made gigabytes of a short body.
#[test]
fn item_is_referred_to_at_most_once() {
    let twice = |id: &str| {
        let one = json!({"type": "item_reference", "id": id});
        let body = json!({"model": "m", "input": [one, one]}).to_string();
        spliced(body.as_bytes(), &[], &chain()).unwrap_err()
    };
    for id in ["msg_1", "unknown"] {
        assert_eq!(twice(id).param(), Some("input[1].id"));
    }
}

#[test]
fn stored_items_come_before_every_form_of_input() {
    let before = json!(["a", {"id": "msg_1"}, "b", {"id": "msg_2"}]);
    let user = json!({"type": "message", "role": "user", "content": "Hi \" there"});
    for (own, expected) in [
        (r#""input": "Hi \" there","#, vec![user]),
        (
            r#""input": ["c", {"d": 1}],"#,
            vec![json!("c"), json!({"d": 1})],
        ),
        (r#""input": [],"#, vec![]),
        (r#""input":null ,"#, vec![]),
        ("", vec![]),
    ] {
        let body = format!(r#" {{ {own} "previous_response_id": "resp_2", "model": "m"}}"#);
        let (input, stored) = input(&body, &chain());
        let list = input.as_array().unwrap();
        assert_eq!(stored, 4);
        assert_eq!(list[..4], *before.as_array().unwrap(), "{body}");
        assert_eq!(list[4..], *expected, "{body}");
    }
}

#[test]
fn references_become_items_and_compaction_replaces_what_precedes_it() {
    let mut chain = chain();
    let compaction = json!([{"type": "compaction", "id": "cmp_1"}]);
    chain.push(stored("resp_3", 3, json!(["c"]), compaction));
    let body = r#"{"input":[{"type":"item_reference","id":"msg_1"},{"type":"item_reference","id":"msg_9"}],
        "previous_response_id":"resp_2","model":"m"}"#;
    let (input, stored) = input(body, &chain);
    assert_eq!(stored, 1);
    assert_eq!(input[0]["id"], "cmp_1");
    assert_eq!(input[1], json!({"id": "msg_1"}));
    assert_eq!(input[2]["type"], "item_reference");
}

#[test]
fn only_requests_with_references_are_searched_for_them() {
    let parse = |body: &str| wanted(body.as_bytes());
    assert_eq!(parse(r#"{"input": "item_reference"}"#), None);
    assert_eq!(parse(r#"{"previous_response_id": null}"#), None);
    assert_eq!(parse(r#"{"previous_response_id": 1}"#), None);
    assert_eq!(parse(r#"{"input": [["item_reference", "a"]]}"#), None);
    let found = parse(
        r#"{"input": [{"type": "item_reference", "id": "a"}, {"type": "item_reference", "id": "a"}]}"#,
    );
    assert_eq!(found.unwrap().items, ["a"]);
}

#[test]
fn references_are_found_with_escaped_characters() {
    let body = r#"{"previous\u005fresponse_id": "resp\u005f1",
        "\u0069nput": [{"t\u0079pe": "item\u005freference", "id": "msg\u005f1"}]}"#;
    let found = wanted(body.as_bytes()).unwrap();
    assert_eq!(found.previous.as_deref(), Some("resp_1"));
    assert_eq!(found.items, ["msg_1"]);
}
