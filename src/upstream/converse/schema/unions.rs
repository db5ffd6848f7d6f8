//! Merges the unions at the root of a schema into one object, for models that accept no unions there.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

/// The longest rule that is written out. A longer one is only summarized.
const MAX_RULE: usize = 1000;

/// Reports whether the values of `schema` are objects.
pub fn is_of_objects(schema: &Value) -> bool {
    let allows = |kind: &Value| match kind {
        Value::String(kind) => kind == "object",
        Value::Array(kinds) => kinds.is_empty() || kinds.iter().any(|kind| kind == "object"),
        _ => true,
    };
    if !allows(&schema["type"]) {
        return false;
    }
    // A schema without a type is one of objects unless its unions say otherwise.
    let branches = |keyword: &str| schema[keyword].as_array().map(Vec::as_slice);
    !schema["type"].is_null()
        || ["anyOf", "oneOf"]
            .into_iter()
            .filter_map(branches)
            .all(|branches| {
                branches.is_empty() || branches.iter().any(|branch| allows(&branch["type"]))
            })
}

/// Replaces `allOf`, `anyOf` and `oneOf` of `root` by the members of their branches. Of `allOf`, a member is required if any
/// branch requires it; otherwise, if every branch does. Returns the rules that the merged schema no longer expresses.
pub fn merge_unions(root: &mut Map<String, Value>) -> Vec<String> {
    let mut rules = Vec::new();
    for keyword in ["allOf", "anyOf", "oneOf"] {
        let Some(Value::Array(branches)) = root.shift_remove(keyword) else {
            continue;
        };
        let mut seen = HashSet::new();
        let mut objects: Vec<Map<String, Value>> = Vec::new();
        for branch in branches {
            if let Value::Object(branch) = branch
                && is_of_objects(&Value::Object(branch.clone()))
                && seen.insert(Value::Object(branch.clone()).to_string())
            {
                objects.push(branch);
            }
        }
        for object in &mut objects {
            rules.extend(merge_unions(object));
        }
        if keyword == "allOf" || objects.len() == 1 {
            merge_all(root, objects);
        } else {
            rules.extend(rule(keyword, &objects));
            merge_alternatives(root, objects);
        }
    }
    rules
}

/// Adds branches that all apply.
fn merge_all(root: &mut Map<String, Value>, branches: Vec<Map<String, Value>>) {
    for branch in branches {
        for (name, member) in branch {
            match (name.as_str(), member) {
                ("properties", Value::Object(new)) => {
                    let mut properties = take_properties(root);
                    for (name, schema) in new {
                        match properties.get_mut(&name) {
                            Some(old) if *old != schema => {
                                let both = json!({"allOf": [old.take(), schema]});
                                *old = both;
                            }
                            Some(_) => {}
                            None => {
                                properties.insert(name, schema);
                            }
                        }
                    }
                    root.insert("properties".to_owned(), properties.into());
                }
                ("required", Value::Array(names)) => require(root, names),
                (_, member) => {
                    root.entry(name).or_insert(member);
                }
            }
        }
    }
}

/// Adds branches of which one applies.
fn merge_alternatives(root: &mut Map<String, Value>, branches: Vec<Map<String, Value>>) {
    let mut common: Option<Vec<Value>> = None;
    let mut order = Vec::new();
    let mut variants: HashMap<String, (HashSet<String>, Vec<Value>)> = HashMap::new();
    for mut branch in branches {
        let required = match branch.remove("required") {
            Some(Value::Array(names)) => names,
            _ => Vec::new(),
        };
        let names: HashSet<&str> = required.iter().filter_map(Value::as_str).collect();
        common = Some(match common {
            None => required.clone(),
            Some(mut common) => {
                common.retain(|name| name.as_str().is_some_and(|name| names.contains(name)));
                common
            }
        });
        let Some(Value::Object(new)) = branch.remove("properties") else {
            continue;
        };
        for (name, schema) in new {
            let (seen, schemas) = variants.entry(name.clone()).or_insert_with(|| {
                order.push(name);
                Default::default()
            });
            if seen.insert(schema.to_string()) {
                schemas.push(schema);
            }
        }
    }
    let mut properties = take_properties(root);
    for name in order {
        // A property of the root holds for all branches.
        if let Some((_, schemas)) = variants.remove(&name)
            && !properties.contains_key(&name)
        {
            properties.insert(name, any_of(schemas));
        }
    }
    root.insert("properties".to_owned(), properties.into());
    require(root, common.unwrap_or_default());
}

/// Returns the schema of a value that fits any of `schemas`. The values of discriminators become one `enum`.
fn any_of(mut schemas: Vec<Value>) -> Value {
    if schemas.len() == 1 {
        return schemas.remove(0);
    }
    let constants = |schema: &Value| -> Option<Vec<Value>> {
        let members = schema.as_object()?;
        let others = ["const", "enum", "type", "title", "description", "default"];
        match (members.get("const"), members.get("enum")) {
            _ if members.keys().any(|name| !others.contains(&name.as_str())) => None,
            (Some(value), None) => Some(vec![value.clone()]),
            (None, Some(Value::Array(values))) => Some(values.clone()),
            _ => None,
        }
    };
    let values: Option<Vec<Vec<Value>>> = schemas.iter().map(constants).collect();
    let Some(values) = values else {
        return json!({ "anyOf": schemas });
    };
    let kind = schemas[0]["type"].take();
    let mut schema = Map::new();
    if !kind.is_null() && schemas[1..].iter().all(|schema| schema["type"] == kind) {
        schema.insert("type".to_owned(), kind);
    }
    let mut seen = HashSet::new();
    let mut values = values.concat();
    values.retain(|value| seen.insert(value.to_string()));
    schema.insert("enum".to_owned(), values.into());
    Value::Object(schema)
}

/// Takes the properties out of `root`. Inserting them again keeps their position.
fn take_properties(root: &mut Map<String, Value>) -> Map<String, Value> {
    match root.get_mut("properties") {
        Some(Value::Object(properties)) => std::mem::take(properties),
        _ => Map::new(),
    }
}

/// Adds `names` to the required members of `root`.
fn require(root: &mut Map<String, Value>, names: Vec<Value>) {
    let mut required = match root.get_mut("required") {
        Some(Value::Array(old)) => std::mem::take(old),
        _ => Vec::new(),
    };
    required.extend(names);
    let mut seen = HashSet::new();
    required.retain(|name| {
        name.as_str()
            .is_some_and(|name| seen.insert(name.to_owned()))
    });
    if !required.is_empty() || root.contains_key("required") {
        root.insert("required".to_owned(), required.into());
    }
}

/// Returns a sentence that says which members belong together.
fn rule(keyword: &str, branches: &[Map<String, Value>]) -> Option<String> {
    let mut seen = HashSet::new();
    let forms: Vec<String> = branches
        .iter()
        .map(form)
        .filter(|form| !form.is_empty() && seen.insert(form.clone()))
        .collect();
    if forms.len() < 2 {
        return None;
    }
    let how_many = match keyword {
        "oneOf" => "Exactly one",
        _ => "At least one",
    };
    let text = format!(
        "{how_many} of these sets of members must be given: ({}).",
        forms.join("), (")
    );
    Some(match text.len() {
        ..=MAX_RULE => text,
        _ => format!(
            "{how_many} of {} sets of members must be given.",
            forms.len()
        ),
    })
}

/// The longest title or description of a branch that the rule repeats.
const MAX_NAME: usize = 80;

/// Describes the members of a branch, for example `Circle: kind = "a", size, note (optional)`.
fn form(branch: &Map<String, Value>) -> String {
    let required: Vec<&str> = branch
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = branch.get("properties").and_then(Value::as_object);
    let shown = |name: &str| {
        let schema = properties.and_then(|properties| properties.get(name));
        let constant = schema.and_then(|schema| {
            let only = match schema["enum"].as_array().map(Vec::as_slice) {
                Some([only]) => Some(only),
                _ => None,
            };
            schema.get("const").or(only)
        });
        match constant {
            Some(value) => format!("{name} = {value}"),
            None => name.to_owned(),
        }
    };
    let is_required: HashSet<&str> = required.iter().copied().collect();
    let optional = properties
        .into_iter()
        .flat_map(Map::keys)
        .filter(|name| !is_required.contains(name.as_str()))
        .map(|name| format!("{} (optional)", shown(name)));
    let members: Vec<String> = required
        .iter()
        .map(|name| shown(name))
        .chain(optional)
        .collect();
    let members = members.join(", ");
    let short = |name: &&str| {
        let text = branch.get(*name).and_then(Value::as_str);
        text.is_some_and(|text| !text.is_empty() && text.len() <= MAX_NAME)
    };
    let named = ["title", "description"].into_iter().filter(short);
    let named: Vec<&str> = named.filter_map(|name| branch[name].as_str()).collect();
    match named.is_empty() || members.is_empty() {
        true => members,
        false => format!("{}: {members}", named.join(", ")),
    }
}
