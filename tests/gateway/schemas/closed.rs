//! Strict schemas have only closed objects. Schemas that closing would change are not strict.

use serde_json::{Value, json};

use super::{
    HAIKU,
    strict::{nullable, with_strict},
    translate,
};

/// Asserts that `schema` is sent by a tool for an answer, and without `strict` for a tool, and why.
fn assert_not_strict(schema: &Value, why: &str) {
    for strict in [false, true] {
        let sent = with_strict(&[], Some((schema.clone(), strict)));
        assert!(
            sent.body["outputConfig"].is_null(),
            "{schema}: {}",
            sent.body
        );
        let warning = format!("response_format: emulated by a tool ({why})");
        assert!(
            sent.warnings.contains(&warning),
            "{schema}: {}",
            sent.warnings
        );
    }
    assert_tool_is_not_strict(schema, why);
}

fn assert_tool_is_not_strict(schema: &Value, why: &str) {
    let sent = with_strict(std::slice::from_ref(schema), None);
    assert!(sent.tool(0)["strict"].is_null(), "{schema}: {}", sent.body);
    let warning = format!("tools[0].function.strict: not sent ({why})");
    assert!(
        sent.warnings.contains(&warning),
        "{schema}: {}",
        sent.warnings
    );
}

/// Returns the native schema of an answer, after checking that a strict tool is sent the same one.
fn strict(schema: &Value) -> Value {
    let sent = with_strict(std::slice::from_ref(schema), Some((schema.clone(), false)));
    let text = &sent.body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"];
    assert!(text.is_string(), "{schema}: {}", sent.warnings);
    let native: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
    assert_eq!(sent.tool(0)["strict"], true, "{schema}: {}", sent.warnings);
    assert_eq!(sent.schema(), &native);
    native
}

/// An object with the required member `a`.
fn with_member(schema: Value) -> Value {
    json!({"type": "object", "properties": {"a": schema}, "required": ["a"]})
}

const OPEN: &str = "its schema has objects with arbitrary members";

/// The old code sent `{"type":"object","additionalProperties":false}`, which only `{}` fits.
#[test]
fn an_object_without_properties_is_one_with_arbitrary_members() {
    let free = json!({"type": "object"});
    for schema in [
        free.clone(),
        json!({}),
        with_member(free),
        with_member(json!({})),
        with_member(json!({"type": ["object", "null"]})),
        with_member(json!({"type": "object", "properties": {}})),
        json!({"type": "object", "properties": {"b": {"type": "string"}}, "required": ["a"]}),
    ] {
        assert_not_strict(&schema, OPEN);
    }
    let empty = json!({"type": "object", "properties": {}});
    let sent = with_strict(&[], Some((empty.clone(), false)));
    assert_eq!(sent.schema(), &empty);
    let request = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "a"}}});
    let sent = translate(HAIKU, &request.to_string());
    assert_eq!(sent.schema(), &json!({"type": "object"}));
    strict(&with_member(
        json!({"type": "object", "additionalProperties": false}),
    ));
    // A tool may have no parameters.
    assert_eq!(with_strict(&[empty], None).tool(0)["strict"], true);
}

/// The old code closed the object and each branch: `{"allOf":[{…,"additionalProperties":false},{…}]}`, which nothing fits.
#[test]
fn all_of_becomes_one_closed_object() {
    let x = json!({"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]});
    let y = json!({"properties": {"y": {"type": "integer"}}, "required": ["y"]});
    let both = json!({"type": "object", "properties": {"x": {"type": "string"}, "y": {"type": "integer"}},
        "required": ["x", "y"], "additionalProperties": false});
    let all = json!({"allOf": [x, y]});
    assert_eq!(strict(&all), both);
    assert_eq!(strict(&with_member(all))["properties"]["a"], both);
    let referring = json!({"type": "object", "properties": {"a": {"allOf": [{"$ref": "#/$defs/X"}], "description": "An X."}},
        "required": ["a"], "$defs": {"X": x}});
    assert_eq!(
        strict(&referring)["properties"]["a"],
        json!({"description": "An X.", "type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"],
               "additionalProperties": false})
    );
    let closed = json!({"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false},
                                  {"properties": {"b": {"type": "string"}}, "required": ["b"]}]});
    assert_not_strict(
        &closed,
        "its schema combines objects in a way that cannot be enforced",
    );
}

/// The old code closed the base with `"properties":{"p":…}`, so that the members of the branches were forbidden.
#[test]
fn members_beside_a_union_move_into_its_branches() {
    let union = json!({"type": "object", "properties": {"p": {"type": "string"}}, "required": ["p"], "oneOf": [
        {"properties": {"x": {"type": "string"}}, "required": ["x"]},
        {"properties": {"y": {"type": "string"}}, "required": ["y"]}, {"type": "null"}]});
    let leaf = |name: &str| {
        json!({"type": "object", "properties": {"p": {"type": "string"}, name: {"type": "string"}},
               "required": ["p", name], "additionalProperties": false})
    };
    assert_eq!(
        strict(&with_member(union))["properties"]["a"],
        json!({"anyOf": [leaf("x"), leaf("y")]})
    );
    // A base that would be copied too often is not.
    let many: Vec<Value> = (0..40)
        .map(|n| json!({"required": [format!("p{n}")]}))
        .collect();
    let properties: serde_json::Map<_, _> = (0..40)
        .map(|n| (format!("p{n}"), json!({"type": "string"})))
        .collect();
    let many = with_member(json!({"type": "object", "properties": properties, "anyOf": many}));
    assert_not_strict(&many, "its schema would become too long");
}

/// The old code sent one object with the members of all branches, all of them required if the answer was strict.
#[test]
fn a_union_at_the_root_is_not_enforced() {
    let branch = |name: &str| json!({"type": "object", "title": name, "properties": {name: {"type": "string"}}, "required": [name]});
    let union = json!({"anyOf": [branch("x"), branch("y")]});
    assert_not_strict(&union, "its root is a union");
    let sent = with_strict(&[], Some((union, true)));
    assert_eq!(sent.schema()["required"], Value::Null);
    assert_eq!(
        sent.tool(0)["description"],
        "Give your answer by calling this tool.\nAt least one of these sets of members must be given: (x: x), (y: y)."
    );
    // The old code lost the map, and closed the rest.
    let map = json!({"type": "object", "additionalProperties": {"type": "string"}});
    assert_not_strict(&json!({"oneOf": [map, branch("b")]}), OPEN);
    // A union of one branch is that branch.
    let one = strict(&json!({"anyOf": [branch("x"), {"type": "null"}]}));
    assert_eq!(one["required"], json!(["x"]));
}

/// The old code cut the cycle to a closed object, and sent `strict`.
#[test]
fn a_recursive_union_at_the_root_is_not_strict() {
    let recursive = json!({"$ref": "#/$defs/U", "$defs": {"U": {"anyOf": [
        {"type": "object", "properties": {"lit": {"type": "number"}}, "required": ["lit"]},
        {"type": "object", "properties": {"l": {"$ref": "#/$defs/U"}}, "required": ["l"]}]}}});
    assert_tool_is_not_strict(
        &recursive,
        "its schema is recursive, or its references cannot be resolved",
    );
}

/// The old code removed `null` from all 17 members, and left them required.
#[test]
fn members_that_lose_null_become_optional() {
    let native = strict_once(17);
    assert_eq!(native["properties"]["p0"], json!({"type": "string"}));
    assert_eq!(
        native["properties"]["p1"]["type"],
        json!(["string", "null"])
    );
    let required = native["required"].as_array().unwrap();
    assert_eq!((required.len(), &required[0]), (16, &json!("p1")));
    // 25 members would have to become optional, but the limit is 24.
    assert_tool_is_not_strict(
        &nullable(41),
        "the model's limit on optional members in strict schemas of a request is reached",
    );
    // The old code counted lists of one type as unions.
    let mut single = nullable(17);
    for property in single["properties"].as_object_mut().unwrap().values_mut() {
        *property = json!({"type": ["string"]});
    }
    let sent = with_strict(&[single], None);
    assert_eq!(sent.schema()["properties"]["p0"], json!({"type": "string"}));
    assert_eq!(sent.tool(0)["strict"], true, "{}", sent.warnings);
}

fn strict_once(count: usize) -> Value {
    let sent = with_strict(&[nullable(count)], None);
    assert_eq!(sent.tool(0)["strict"], true, "{}", sent.warnings);
    sent.schema().clone()
}

/// The old code sent these keywords in strict schemas.
#[test]
fn keywords_that_cannot_be_enforced_are_not_in_strict_schemas() {
    let string = json!({"type": "string"});
    for member in [
        json!({"type": "object", "properties": {"b": string}, "patternProperties": {"^x": string}}),
        json!({"type": "object", "properties": {"b": string}, "propertyNames": {"pattern": "^a"}}),
        json!({"type": "object", "properties": {"b": string}, "dependentRequired": {"b": ["b"]}}),
        json!({"type": "object", "properties": {"b": string}, "dependentSchemas": {"b": {"required": ["b"]}}}),
        json!({"type": "object", "properties": {"b": string}, "unevaluatedProperties": false}),
        json!({"type": "object", "properties": {"b": string}, "if": {"required": ["b"]}, "then": {}, "else": {}}),
        json!({"type": "string", "not": {"const": "x"}}),
        json!({"oneOf": [string], "anyOf": [string, {"type": "integer"}]}),
        json!({"type": "array", "items": string, "contains": string}),
        json!({"type": "array", "prefixItems": [string]}),
        json!({"type": "array", "items": false}),
        json!({"enum": [{"x": 1}, [1]]}),
        json!({"const": {"x": 1}}),
        json!(true),
    ] {
        assert_not_strict(
            &with_member(member),
            "its schema has keywords that cannot be enforced",
        );
    }
}

/// The old code answered 400: "The schema refers to '#/$defs/Box%3CInt%3E', which does not exist".
#[test]
fn references_may_be_percent_encoded() {
    let schema = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/Box%3CInt%3E"}}, "required": ["a"],
                        "$defs": {"Box<Int>": {"type": "integer"}}});
    let sent = with_strict(&[], Some((schema, false)));
    let text = sent.body["outputConfig"].to_string();
    assert!(text.contains(r#"{\"a\":{\"type\":\"integer\"}}"#), "{text}");
}

/// The simulator accepted these schemas, and its answer had members that a closed object forbids.
#[test]
fn the_simulator_rejects_what_strict_schemas_do_not_support() {
    for member in [
        r#"{"enum":[{"x":1}]}"#,
        r##"{"allOf":[{"$ref":"#/$defs/X"}]}"##,
        r#"{"type":"array","contains":{"type":"string"}}"#,
    ] {
        let schema = format!(
            r#"{{"type":"object","properties":{{"a":{member}}},"required":["a"],"additionalProperties":false}}"#
        );
        let body = format!(
            r#"{{"messages":[{{"role":"user","content":[{{"text":"Hi"}}]}}],"toolConfig":{{"tools":[{{"toolSpec":
                {{"name":"f","description":"f","strict":true,"inputSchema":{{"json":{schema}}}}}}}]}}}}"#
        );
        let checked = lintel::simulator::validate(HAIKU, body.as_bytes(), false);
        assert!(checked.is_err(), "{schema}");
    }
}
