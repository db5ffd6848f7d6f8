//! Checks answers against JSON schemas. Supports the keywords that structured output uses and ignores all others. The
//! work is bounded by the sizes of schema and answer, because [`super::schema::without_references`] has resolved the
//! references.

use serde_json::Value;

/// Checks that `text` is JSON that matches `schema`. Returns the first problem, or `None` if it matches.
pub fn schema_check(schema: &Value, text: &str) -> Option<String> {
    let mut steps = MAX_STEPS;
    match serde_json::from_str::<Value>(text) {
        Err(_) => Some("it is not valid JSON".to_owned()),
        Ok(answer) => check(schema, &answer, "the answer", &mut steps).err(),
    }
}

/// Maximum number of schema-value pairs to compare, because thousands of options may apply to each of thousands of
/// items. Beyond it, the rest of the answer counts as matching.
const MAX_STEPS: usize = 100_000;

fn check(schema: &Value, value: &Value, at: &str, steps: &mut usize) -> Result<(), String> {
    *steps = steps.saturating_sub(1);
    if *steps == 0 {
        return Ok(());
    }
    if schema == &Value::Bool(false) {
        return Err(format!("{at} must not be there"));
    }
    let wrong = |what: String| Err(format!("{at} {what}"));
    let list = |keyword: &str| {
        schema[keyword]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default()
    };
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        _ => list("type").iter().filter_map(Value::as_str).collect(),
    };
    if !types.is_empty() && !types.iter().any(|name| has_type(value, name)) {
        return wrong(format!("is not of type {}", types.join(" or ")));
    }
    if !list("enum").is_empty() && !list("enum").contains(value) {
        return wrong("is none of the allowed values".to_owned());
    }
    if schema
        .get("const")
        .is_some_and(|constant| constant != value)
    {
        return wrong("is not the one allowed value".to_owned());
    }
    for all in list("allOf") {
        check(all, value, at, steps)?;
    }
    for union in ["anyOf", "oneOf"] {
        let options = list(union);
        if !options.is_empty()
            && options
                .iter()
                .all(|option| check(option, value, at, steps).is_err())
        {
            return wrong(format!("fits none of '{union}'"));
        }
    }
    check_bounds(schema, value, at)?;
    if let Value::Array(items) = value {
        for (index, item) in items.iter().enumerate() {
            let of_place = list("prefixItems").get(index).unwrap_or(&schema["items"]);
            check(of_place, item, &format!("{at}[{index}]"), steps)?;
        }
    }
    if let Value::Object(members) = value {
        for name in list("required").iter().filter_map(Value::as_str) {
            if !members.contains_key(name) {
                return wrong(format!("lacks '{name}'"));
            }
        }
        for (name, member) in members {
            let of_name = schema["properties"]
                .get(name)
                .unwrap_or(&schema["additionalProperties"]);
            check(of_name, member, &format!("{at}.{name}"), steps)?;
        }
    }
    Ok(())
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

fn check_bounds(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let (size, keywords) = match value {
        Value::String(text) => (text.chars().count() as f64, ["minLength", "maxLength"]),
        Value::Array(items) => (items.len() as f64, ["minItems", "maxItems"]),
        Value::Number(number) => (number.as_f64().unwrap_or_default(), ["minimum", "maximum"]),
        _ => return Ok(()),
    };
    let bound = |keyword: &str| schema[keyword].as_f64();
    let [least, most] = keywords;
    if bound(least).is_some_and(|least| size < least) || bound(most).is_some_and(|most| size > most)
    {
        return Err(format!("{at} is not within '{least}' and '{most}'"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reports_the_first_mismatch_with_its_path() {
        let schema = json!({
            "type": "object", "required": ["n"], "additionalProperties": false,
            "properties": {
                "n": {"type": "integer", "minimum": 1},
                "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
                "maybe": {"anyOf": [{"type": "null"}, {"type": "string", "minLength": 2}]},
            },
        });
        for fits in [
            r#"{"n": 1}"#,
            r#" {"n": 2.0, "tags": ["a", "b"], "maybe": null}"#,
            r#"{"n": 3, "maybe": "xy"}"#,
        ] {
            assert_eq!(schema_check(&schema, fits), None, "{fits}");
        }
        for (wrong, why) in [
            ("```", "it is not valid JSON"),
            ("[]", "the answer is not of type object"),
            ("{}", "the answer lacks 'n'"),
            (
                r#"{"n": 0}"#,
                "the answer.n is not within 'minimum' and 'maximum'",
            ),
            (r#"{"n": 1.5}"#, "the answer.n is not of type integer"),
            (r#"{"n": 1, "m": 1}"#, "the answer.m must not be there"),
            (
                r#"{"n": 1, "tags": ["c"]}"#,
                "the answer.tags[0] is none of the allowed values",
            ),
            (
                r#"{"n": 1, "tags": ["a", "a", "a"]}"#,
                "the answer.tags is not within 'minItems' and 'maxItems'",
            ),
            (
                r#"{"n": 1, "maybe": "x"}"#,
                "the answer.maybe fits none of 'anyOf'",
            ),
        ] {
            assert_eq!(
                schema_check(&schema, wrong).as_deref(),
                Some(why),
                "{wrong}"
            );
        }
    }
}
