//! Combines what several places of a schema say about one value. Strict objects are closed, and an object that is closed
//! beside `allOf` or a union rejects the members of the branches.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::root::ANNOTATIONS;

/// Why a schema that cannot be combined cannot be strict.
const COMBINED: &str = "its schema combines objects in a way that cannot be enforced";
const KEYWORDS: &str = "its schema has keywords that cannot be enforced";
pub const TOO_LONG: &str = "its schema would become too long";

/// Keywords that strict schemas do not support, and without which the schema allows too much.
const UNENFORCEABLE: [&str; 15] = [
    "not",
    "if",
    "then",
    "else",
    "patternProperties",
    "propertyNames",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "unevaluatedProperties",
    "unevaluatedItems",
    "contains",
    "prefixItems",
    "additionalItems",
    "$dynamicRef",
];

/// Merges every `allOf`, and moves what stands beside a union into its branches. The references of `schema` must be
/// resolved. At most `allowance` bytes are added.
///
/// # Errors
/// Why the schema cannot be enforced.
pub fn combine(schema: &mut Value, allowance: usize) -> Result<(), &'static str> {
    Combiner { allowance }.schema(schema)
}

struct Combiner {
    /// The bytes that may still be added.
    allowance: usize,
}

impl Combiner {
    fn schema(&mut self, schema: &mut Value) -> Result<(), &'static str> {
        let Value::Object(members) = schema else {
            return Err(KEYWORDS);
        };
        let plain = |value: &Value| !value.is_object() && !value.is_array();
        let values = members.get("enum").and_then(Value::as_array);
        if UNENFORCEABLE.iter().any(|name| members.contains_key(*name))
            || !members.get("const").is_none_or(plain)
            || !values.into_iter().flatten().all(plain)
        {
            return Err(KEYWORDS);
        }
        for (name, member) in members.iter_mut() {
            match (name.as_str(), member) {
                ("properties", Value::Object(properties)) => properties
                    .values_mut()
                    .try_for_each(|property| self.schema(property))?,
                ("anyOf" | "oneOf" | "allOf", Value::Array(branches)) => branches
                    .iter_mut()
                    .try_for_each(|branch| self.schema(branch))?,
                ("items", items) => self.schema(items)?,
                ("additionalProperties", any) if any.as_object().is_some_and(Map::is_empty) => {
                    *any = Value::Bool(true);
                }
                _ => {}
            }
        }
        if let Some(Value::Array(branches)) = members.shift_remove("allOf") {
            for branch in branches {
                if let Value::Object(branch) = branch {
                    *members = self
                        .both(std::mem::take(members), branch)?
                        .ok_or(COMBINED)?;
                }
            }
        }
        self.distribute(members)
    }

    /// Moves what stands beside a union into its branches. A single branch replaces its union.
    fn distribute(&mut self, members: &mut Map<String, Value>) -> Result<(), &'static str> {
        let keyword = match (members.contains_key("anyOf"), members.contains_key("oneOf")) {
            (false, false) => return Ok(()),
            (true, true) => return Err(KEYWORDS),
            (true, false) => "anyOf",
            (false, true) => "oneOf",
        };
        let beside = members
            .iter()
            .filter(|(name, _)| *name != keyword && !is_annotation(name))
            .map(|(name, member)| (name.clone(), member.clone()));
        let beside: Map<String, Value> = beside.collect();
        let Some(Value::Array(branches)) = members.get_mut(keyword).map(Value::take) else {
            return Err(KEYWORDS);
        };
        let mut kept = Vec::new();
        if !beside.is_empty() {
            let copies = branches.len().saturating_sub(1);
            let added = Value::Object(beside.clone()).to_string().len() * copies;
            self.allowance = self.allowance.checked_sub(added).ok_or(TOO_LONG)?;
        }
        for branch in branches {
            let Value::Object(branch) = branch else {
                return Err(KEYWORDS);
            };
            // A branch that no value fits is left out.
            if let Some(mut branch) = self.both(beside.clone(), branch)? {
                self.distribute(&mut branch)?;
                kept.push(Value::Object(branch));
            }
        }
        members.retain(|name, _| name == keyword || is_annotation(name));
        match kept.len() {
            0 => return Err(COMBINED),
            1 => {
                members.shift_remove(keyword);
                if let Some(Value::Object(only)) = kept.pop() {
                    for (name, member) in only {
                        members.entry(name).or_insert(member);
                    }
                }
            }
            _ => {
                members.insert(keyword.to_owned(), kept.into());
            }
        }
        Ok(())
    }

    /// Returns the schema of values that fit both schemas, or `None` if their types exclude each other.
    fn both(
        &mut self,
        mut one: Map<String, Value>,
        other: Map<String, Value>,
    ) -> Result<Option<Map<String, Value>>, &'static str> {
        if excludes(&one, &other) || excludes(&other, &one) {
            return Err(COMBINED);
        }
        for (name, member) in other {
            let Some(old) = one.get_mut(&name) else {
                one.insert(name, member);
                continue;
            };
            match (name.as_str(), old, member) {
                (name, old, member) if *old == member || is_annotation(name) => {}
                ("type", old, member) => match common_type(old, &member) {
                    Some(kind) => *old = kind,
                    None => return Ok(None),
                },
                ("properties", Value::Object(old), Value::Object(new)) => {
                    self.properties(old, new)?;
                }
                ("required", Value::Array(old), Value::Array(new)) => {
                    old.extend(new);
                    let mut seen = HashSet::new();
                    old.retain(|name| seen.insert(name.to_string()));
                }
                ("additionalProperties", old, member) => match (&*old, &member) {
                    (Value::Bool(false), _) | (_, Value::Bool(false)) => *old = Value::Bool(false),
                    _ => return Err(COMBINED),
                },
                _ => return Err(COMBINED),
            }
        }
        Ok(Some(one))
    }

    /// Adds `new` properties to `old` ones.
    fn properties(
        &mut self,
        old: &mut Map<String, Value>,
        new: Map<String, Value>,
    ) -> Result<(), &'static str> {
        for (name, schema) in new {
            let both = match (old.get_mut(&name).map(Value::take), schema) {
                (Some(Value::Object(one)), Value::Object(other)) => {
                    let mut both = self.both(one, other)?.ok_or(COMBINED)?;
                    self.distribute(&mut both)?;
                    Value::Object(both)
                }
                (Some(_), _) => return Err(COMBINED),
                (None, schema) => schema,
            };
            old.insert(name, both);
        }
        Ok(())
    }
}

/// Reports whether `closed` forbids properties of `other`.
fn excludes(closed: &Map<String, Value>, other: &Map<String, Value>) -> bool {
    if closed.get("additionalProperties") != Some(&Value::Bool(false)) {
        return false;
    }
    let properties = |schema: &Map<String, Value>| match schema.get("properties") {
        Some(Value::Object(properties)) => properties.clone(),
        _ => Map::new(),
    };
    let known = properties(closed);
    properties(other)
        .keys()
        .any(|name| !known.contains_key(name))
}

/// Returns the types that are in both values of `type`.
fn common_type(one: &Value, other: &Value) -> Option<Value> {
    let list = |kind: &Value| match kind {
        Value::Array(kinds) => kinds.clone(),
        kind => vec![kind.clone()],
    };
    let (one, other) = (list(one), list(other));
    let has = |kinds: &[Value], kind: &Value| {
        kinds.contains(kind) || kind == "integer" && kinds.iter().any(|kind| kind == "number")
    };
    let mut common: Vec<Value> = one
        .iter()
        .filter(|kind| has(&other, kind))
        .cloned()
        .collect();
    for kind in other {
        if has(&one, &kind) && !common.contains(&kind) {
            common.push(kind);
        }
    }
    match common.len() {
        0 => None,
        1 => common.pop(),
        _ => Some(common.into()),
    }
}

fn is_annotation(name: &str) -> bool {
    ANNOTATIONS.contains(&name) || ["description", "discriminator"].contains(&name)
}
