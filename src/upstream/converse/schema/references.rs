//! Resolves references inside a JSON schema.

use serde_json::{Map, Value};

use crate::error::Error;

/// Maximum number of nodes of a resolved schema. Resolving references can make a schema exponentially larger.
const MAX_NODES: usize = 20_000;
/// A string counts as one more node for every so many bytes.
const NODE_BYTES: usize = 64;

/// Maximum nesting of a resolved schema. Functions that process it are recursive.
const MAX_DEPTH: usize = 128;

/// Replaces every local `$ref` with its target. If `cut_cycles` is set, a cycle ends in `{"type": "object"}`.
///
/// # Errors
/// 400 with the path `at` for a reference without a target, a cycle if `cut_cycles` is not set, or a schema that becomes
/// too large.
pub fn resolve_references(root: &Value, cut_cycles: bool, at: &str) -> Result<Value, Error> {
    let mut resolver = Resolver {
        root,
        cut_cycles,
        at,
        open: Vec::new(),
        nodes: 0,
        depth: 0,
    };
    let mut value = resolver.resolve(root)?;
    if let Some(members) = value.as_object_mut() {
        members.shift_remove("$defs");
        members.shift_remove("definitions");
    }
    Ok(value)
}

/// The longest chain of references at a root that is followed.
const MAX_CHAIN: usize = 16;

/// Replaces a local `$ref` at the root with its target. References below the root remain, because their targets do.
///
/// # Errors
/// 400 with the path `at` for a reference without a target.
pub fn inline_root(mut root: Value, at: &str) -> Result<Value, Error> {
    for _ in 0..MAX_CHAIN {
        let Some(reference) = root.get("$ref").and_then(Value::as_str) else {
            return Ok(root);
        };
        let target = match reference {
            "#" => None,
            _ => Some(target(&root, reference, at)?.clone()),
        };
        let mut members = match target {
            Some(Value::Object(members)) => members,
            _ => Map::new(),
        };
        if let Value::Object(siblings) = root {
            members.extend(siblings.into_iter().filter(|(name, _)| name != "$ref"));
        }
        root = Value::Object(members);
    }
    if let Value::Object(members) = &mut root {
        members.shift_remove("$ref");
    }
    Ok(root)
}

/// Returns the target of a local reference.
fn target<'r>(root: &'r Value, reference: &str, at: &str) -> Result<&'r Value, Error> {
    let target = match reference {
        "#" => Some(root),
        _ => reference.strip_prefix('#').and_then(|pointer| {
            root.pointer(pointer)
                .or_else(|| root.pointer(&decoded(pointer)?))
        }),
    };
    target.ok_or_else(|| {
        let shown: String = reference.chars().take(100).collect();
        let why = match reference.strip_prefix('#') {
            Some(pointer) if pointer.starts_with('/') => "which does not exist in the schema.",
            _ => "but only pointers into the schema are supported, such as '#/$defs/Name'.",
        };
        Error::invalid(
            at.to_owned(),
            format!("The schema refers to '{shown}', {why}"),
        )
    })
}

/// Decodes the percent-encoding of a pointer in a URI (RFC 6901, section 6).
fn decoded(pointer: &str) -> Option<String> {
    let mut parts = pointer.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

struct Resolver<'r> {
    root: &'r Value,
    cut_cycles: bool,
    at: &'r str,
    open: Vec<&'r str>,
    nodes: usize,
    depth: usize,
}

impl<'r> Resolver<'r> {
    fn resolve(&mut self, value: &'r Value) -> Result<Value, Error> {
        self.nodes += 1 + value.as_str().map_or(0, |text| text.len() / NODE_BYTES);
        if self.nodes > MAX_NODES || self.depth > MAX_DEPTH {
            return Err(Error::invalid(
                self.at,
                "The schema is too large or too deep once its references are resolved.",
            ));
        }
        self.depth += 1;
        let resolved = match value {
            Value::Array(items) => items
                .iter()
                .map(|item| self.resolve(item))
                .collect::<Result<_, _>>()
                .map(Value::Array),
            Value::Object(members) => match members.get("$ref").and_then(Value::as_str) {
                Some(reference) => self.follow(reference, members),
                None => self.members(members).map(Value::Object),
            },
            plain => Ok(plain.clone()),
        };
        self.depth -= 1;
        resolved
    }

    fn members(&mut self, members: &'r Map<String, Value>) -> Result<Map<String, Value>, Error> {
        let resolved = members.iter().map(|(name, member)| {
            self.nodes += name.len() / NODE_BYTES;
            Ok((name.clone(), self.resolve(member)?))
        });
        resolved.collect()
    }

    /// Returns the target of `reference`. Siblings of the reference, such as a description, override its members.
    fn follow(
        &mut self,
        reference: &'r str,
        siblings: &'r Map<String, Value>,
    ) -> Result<Value, Error> {
        if self.open.contains(&reference) {
            return match self.cut_cycles {
                true => Ok(serde_json::json!({"type": "object"})),
                false => Err(Error::invalid(
                    self.at,
                    "A recursive schema is not supported for structured output.",
                )),
            };
        }
        let target = target(self.root, reference, self.at)?;
        self.open.push(reference);
        let value = self.resolve(target);
        self.open.pop();
        let mut value = value?;
        if let Value::Object(members) = &mut value {
            for (name, member) in siblings
                .iter()
                .filter(|(name, _)| *name != "$ref" && *name != "$defs")
            {
                self.nodes += name.len() / NODE_BYTES;
                let member = self.resolve(member)?;
                members.insert(name.clone(), member);
            }
        }
        Ok(value)
    }
}
