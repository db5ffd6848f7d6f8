//! Metadata filters, as the service model documents them.

use std::cmp::Ordering;

use serde_json::Value;

/// Whether `metadata` matches `filter`, which the service model has checked. No filter matches everything.
pub fn holds(filter: &Value, metadata: &Value) -> bool {
    let Some((operator, operand)) = filter
        .as_object()
        .and_then(|members| members.iter().find(|(_, v)| !v.is_null()))
    else {
        return true;
    };
    let mut all = operand.as_array().into_iter().flatten();
    match operator.as_str() {
        "andAll" => return all.all(|filter| holds(filter, metadata)),
        "orAll" => return all.any(|filter| holds(filter, metadata)),
        _ => {}
    }
    let (key, wanted) = (
        operand["key"].as_str().unwrap_or_default(),
        &operand["value"],
    );
    let own = &metadata[key];
    let listed = |own: &Value| {
        wanted
            .as_array()
            .is_some_and(|values| values.iter().any(|value| same(value, own)))
    };
    match operator.as_str() {
        // These match a missing key, too.
        "notEquals" => !same(own, wanted),
        "notIn" => !listed(own),
        _ if own.is_null() => false,
        "equals" => same(own, wanted),
        "in" => listed(own),
        "greaterThan" => order(own, wanted) == Some(Ordering::Greater),
        "greaterThanOrEquals" => matches!(
            order(own, wanted),
            Some(Ordering::Greater | Ordering::Equal)
        ),
        "lessThan" => order(own, wanted) == Some(Ordering::Less),
        "lessThanOrEquals" => matches!(order(own, wanted), Some(Ordering::Less | Ordering::Equal)),
        "startsWith" => text(own).starts_with(text(wanted)),
        "stringContains" => match own {
            Value::Array(items) => items.iter().any(|item| text(item).contains(text(wanted))),
            own => text(own).contains(text(wanted)),
        },
        "listContains" => own
            .as_array()
            .is_some_and(|items| items.iter().any(|item| same(item, wanted))),
        _ => false,
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b) == Ordering::Equal,
        _ => a == b,
    }
}

fn order(a: &Value, b: &Value) -> Option<Ordering> {
    a.as_f64()?.partial_cmp(&b.as_f64()?)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
