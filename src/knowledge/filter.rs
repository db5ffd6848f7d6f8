//! Metadata filters. Accepts Bedrock's form and OpenAI's, and produces Bedrock's. The filters of the operator and of the
//! client are AND-ed, so that a client can only narrow a search.

use serde_json::{Map, Value, json};

/// The most bytes of a filter. This and the next two bound the work that a request can cause.
const MAX_BYTES: usize = 16 * 1024;

/// The most conditions and groups of a filter.
const MAX_CONDITIONS: usize = 100;

/// The most levels of a filter.
const MAX_DEPTH: usize = 8;

/// The longest attribute name that the service model allows (`FilterKey`).
const MAX_KEY: usize = 100;

/// The members of the service model's `RetrievalFilter` that compare one attribute.
const COMPARISONS: [&str; 11] = [
    "equals",
    "notEquals",
    "greaterThan",
    "greaterThanOrEquals",
    "lessThan",
    "lessThanOrEquals",
    "in",
    "notIn",
    "startsWith",
    "listContains",
    "stringContains",
];

/// OpenAI's names of the comparisons, and Bedrock's.
const OPENAI: [(&str, &str); 8] = [
    ("eq", "equals"),
    ("ne", "notEquals"),
    ("gt", "greaterThan"),
    ("gte", "greaterThanOrEquals"),
    ("lt", "lessThan"),
    ("lte", "lessThanOrEquals"),
    ("in", "in"),
    ("nin", "notIn"),
];

/// An invalid filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// The path below the filter, such as `.andAll[1].key`; empty for the filter itself.
    pub at: String,
    pub message: String,
}

/// Parses JSON text and returns the filter in Bedrock's form.
///
/// # Errors
/// The first problem in the filter.
pub fn parse_text(json: &str) -> Result<Value, FilterError> {
    if json.len() > MAX_BYTES {
        return wrong("", format!("A filter may have at most {MAX_BYTES} bytes."));
    }
    match serde_json::from_str(json) {
        Ok(filter) => parse(&filter),
        Err(_) => wrong("", "A filter must be an object."),
    }
}

/// Returns `filter` in Bedrock's form.
///
/// # Errors
/// The first problem in the filter.
pub fn parse(filter: &Value) -> Result<Value, FilterError> {
    let mut count = 0;
    read(filter, "", MAX_DEPTH, &mut count)
}

/// Combines filters so that all of them must match. `None` if there are none.
pub fn all(filters: impl IntoIterator<Item = Value>) -> Option<Value> {
    let mut conditions = Vec::new();
    for filter in filters {
        match filter {
            // Flattened, because the service allows only few levels.
            Value::Object(mut group) if group.contains_key("andAll") => {
                match group.remove("andAll") {
                    Some(Value::Array(inner)) => conditions.extend(inner),
                    other => conditions.extend(other),
                }
            }
            other => conditions.push(other),
        }
    }
    grouped("andAll", conditions)
}

/// Groups conditions. The service requires at least two members in a group, so a single condition is returned as it is.
fn grouped(operator: &str, mut conditions: Vec<Value>) -> Option<Value> {
    match conditions.len() {
        0 => None,
        1 => conditions.pop(),
        _ => Some(json!({ operator: conditions })),
    }
}

fn read(filter: &Value, at: &str, depth: usize, count: &mut usize) -> Result<Value, FilterError> {
    *count += 1;
    if depth == 0 || *count > MAX_CONDITIONS {
        return wrong(
            at,
            format!(
                "A filter may have at most {MAX_CONDITIONS} conditions and {MAX_DEPTH} levels."
            ),
        );
    }
    let Value::Object(members) = filter else {
        return wrong(at, "A filter must be an object.");
    };
    if members.contains_key("type") {
        return openai(members, at, depth, count);
    }
    let mut members = members.iter();
    let (Some((operator, operand)), None) = (members.next(), members.next()) else {
        return wrong(
            at,
            "A filter must have exactly one member, such as 'equals' or 'andAll', or a 'type' in OpenAI's form.",
        );
    };
    let below = format!("{at}.{operator}");
    match operator.as_str() {
        "andAll" | "orAll" => group(operator, operand, &below, depth, count),
        own if COMPARISONS.contains(&own) => match operand {
            Value::Object(members)
                if members
                    .keys()
                    .all(|member| member == "key" || member == "value") =>
            {
                comparison(operator, members, &below)
            }
            _ => wrong(
                below,
                "A comparison must be an object with the members 'key' and 'value'.",
            ),
        },
        other => {
            let other: String = other.chars().take(40).collect();
            wrong(
                at,
                format!(
                    "'{other}' is not an operator. Use one of andAll, orAll, {}.",
                    COMPARISONS.join(", ")
                ),
            )
        }
    }
}

/// Reads a filter in OpenAI's form: `{"type": "eq", "key", "value"}` or `{"type": "and", "filters": […]}`.
fn openai(
    members: &Map<String, Value>,
    at: &str,
    depth: usize,
    count: &mut usize,
) -> Result<Value, FilterError> {
    let kind = members
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let allowed: &[&str] = if matches!(kind, "and" | "or") {
        &["type", "filters"]
    } else {
        &["type", "key", "value"]
    };
    if let Some(unknown) = members
        .keys()
        .find(|member| !allowed.contains(&member.as_str()))
    {
        let unknown: String = unknown.chars().take(40).collect();
        return wrong(
            at,
            format!("A filter of this 'type' has no member '{unknown}'."),
        );
    }
    let filters = members.get("filters").unwrap_or(&Value::Null);
    match kind {
        "and" => group("andAll", filters, &format!("{at}.filters"), depth, count),
        "or" => group("orAll", filters, &format!("{at}.filters"), depth, count),
        _ => match OPENAI.iter().find(|(theirs, _)| *theirs == kind) {
            Some((_, operator)) => comparison(operator, members, at),
            None => wrong(
                format!("{at}.type"),
                "'type' must be one of and, or, eq, ne, gt, gte, lt, lte, in, nin.",
            ),
        },
    }
}

fn group(
    operator: &str,
    operands: &Value,
    at: &str,
    depth: usize,
    count: &mut usize,
) -> Result<Value, FilterError> {
    let Value::Array(operands) = operands else {
        return wrong(at, "This must be a list of filters.");
    };
    let mut read_one = |(index, one)| read(one, &format!("{at}[{index}]"), depth - 1, count);
    let conditions = operands
        .iter()
        .enumerate()
        .map(&mut read_one)
        .collect::<Result<Vec<_>, _>>()?;
    grouped(operator, conditions)
        .map_or_else(|| wrong(at, "This list must hold at least one filter."), Ok)
}

fn comparison(
    operator: &str,
    members: &Map<String, Value>,
    at: &str,
) -> Result<Value, FilterError> {
    let key = members
        .get("key")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !(1..=MAX_KEY).contains(&key.chars().count()) {
        return wrong(
            format!("{at}.key"),
            format!("'key' must be a string of 1 to {MAX_KEY} characters."),
        );
    }
    let value = members.get("value").unwrap_or(&Value::Null);
    let scalar = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
    let fits = match operator {
        "in" | "notIn" => value
            .as_array()
            .is_some_and(|items| !items.is_empty() && items.iter().all(scalar)),
        _ => scalar(value),
    };
    if !fits {
        let wanted = match operator {
            "in" | "notIn" => "a list of strings, numbers or booleans",
            _ => "a string, a number or a boolean",
        };
        return wrong(format!("{at}.value"), format!("'value' must be {wanted}."));
    }
    Ok(json!({ operator: {"key": key, "value": value} }))
}

fn wrong<T>(at: impl Into<String>, message: impl Into<String>) -> Result<T, FilterError> {
    Err(FilterError {
        at: at.into(),
        message: message.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_of_both_forms_are_converted_to_bedrocks_form() {
        let year = json!({"equals": {"key": "year", "value": 2026}});
        let cases = [
            (year.clone(), year.clone()),
            (
                json!({"type": "eq", "key": "year", "value": 2026}),
                year.clone(),
            ),
            (
                json!({"type": "and", "filters": [{"type": "eq", "key": "year", "value": 2026}]}),
                year.clone(),
            ),
            (json!({"andAll": [year]}), year.clone()),
            (
                json!({"type": "or", "filters": [year, {"type": "nin", "key": "dept", "value": ["a", "b"]}]}),
                json!({"orAll": [year, {"notIn": {"key": "dept", "value": ["a", "b"]}}]}),
            ),
        ];
        for (given, expected) in cases {
            assert_eq!(parse(&given), Ok(expected), "{given}");
        }
        for (theirs, ours) in OPENAI.iter().filter(|(theirs, _)| !theirs.ends_with("in")) {
            let parsed = parse(&json!({"type": theirs, "key": "k", "value": 1})).unwrap();
            assert_eq!(parsed, json!({ *ours: {"key": "k", "value": 1} }));
        }
    }

    #[test]
    fn invalid_filters_are_rejected_with_the_path_of_the_problem() {
        let long = "k".repeat(101);
        let mut deep = json!({"equals": {"key": "a", "value": 1}});
        for _ in 0..20 {
            deep = json!({"andAll": [deep, {"equals": {"key": "a", "value": 1}}]});
        }
        let many: Vec<Value> = (0..101)
            .map(|n| json!({"equals": {"key": "a", "value": n}}))
            .collect();
        for (filter, at) in [
            (json!([]), ""),
            (json!({}), ""),
            (json!({"equals": {"key": "a", "value": 1}, "orAll": []}), ""),
            (json!({"exists": {"key": "a", "value": 1}}), ""),
            (json!({"andAll": []}), ".andAll"),
            (json!({"andAll": {}}), ".andAll"),
            (
                json!({"orAll": [{"equals": {"key": "", "value": 1}}]}),
                ".orAll[0].equals.key",
            ),
            (json!({"equals": {"key": long, "value": 1}}), ".equals.key"),
            (
                json!({"equals": {"key": "a", "value": null}}),
                ".equals.value",
            ),
            (
                json!({"equals": {"key": "a", "value": 1, "or": 2}}),
                ".equals",
            ),
            (json!({"in": {"key": "a", "value": "b"}}), ".in.value"),
            (json!({"type": "like", "key": "a", "value": "b"}), ".type"),
            (json!({"type": "and", "filters": []}), ".filters"),
            (
                json!({"type": "eq", "key": "a", "value": "b", "orAll": []}),
                "",
            ),
            (json!({"orAll": many}), ".orAll[99]"),
        ] {
            assert_eq!(parse(&filter).unwrap_err().at, at, "{filter}");
        }
        assert!(parse(&deep).is_err());
    }
}
