//! Adapts the client's JSON schemas to what models on Bedrock accept. Keeps the order of keys, because models and prompt
//! caches depend on it.

use std::borrow::Cow;

use serde_json::{Value, value::RawValue};

mod combine;
mod limits;
mod malformed;
mod nullable;
mod references;
mod root;
mod strict;
mod unions;
mod visit;

pub use limits::StrictBudget;

use references::resolve_references;

use super::{duplicates::unique, raw::raw_json};
use crate::{
    call::Warnings,
    error::Error,
    model::{Facts, SchemaRoot},
    openai::{
        json_text,
        schema_root::{RootMembers, UNIONS},
    },
};

/// What a schema is adapted for.
#[derive(Clone, Copy)]
pub struct SchemaContext<'c> {
    pub facts: &'c Facts,
    /// The path of the schema in the request.
    pub at: &'c str,
    pub warnings: &'c Warnings,
}

/// The adapted schema of a tool.
#[derive(Debug)]
pub struct ToolSchema<'a> {
    pub json: Cow<'a, RawValue>,
    /// What the model does not accept in the schema, as text for the tool's description.
    pub note: Option<String>,
    /// Why the schema cannot be strict, if it should be.
    pub not_strict: Option<&'static str>,
}

/// The adapted schema of a structured answer.
#[derive(Debug)]
pub struct AnswerSchema {
    /// The serialized schema.
    pub json: String,
    /// What the model does not accept in the schema, as text for the format's description.
    pub note: Option<String>,
}

/// Returns the input schema of a tool. `strict` is the budget of strict schemas if the tool should be strict.
///
/// # Errors
/// 400 with the path of the schema if it cannot be parsed or its references cannot be resolved.
pub fn for_tool<'a>(
    schema: Option<&'a RawValue>,
    strict: Option<&mut StrictBudget>,
    cx: &SchemaContext<'_>,
) -> Result<ToolSchema<'a>, Error> {
    const NO_PARAMETERS: &str = r#"{"type":"object","properties":{}}"#;
    let raw = match schema {
        Some(raw) => unique(Cow::Borrowed(raw), cx.at, "", cx.warnings),
        None => raw_json(NO_PARAMETERS.to_owned()),
    };
    let accepted = |json| ToolSchema {
        json,
        note: None,
        not_strict: None,
    };
    let refs = !cx.facts.schema_refs && json_text::contains(raw.get(), "\"$ref\"");
    let lookaround = !cx.facts.schema_lookaround && json_text::contains(raw.get(), "(?");
    let malformed = malformed::may_be_malformed(&json_text::unescaped(raw.get()));
    if !refs && !lookaround && !malformed && strict.is_none() {
        match check_root(&raw, cx.facts.schema_root) {
            Root::Accepted => return Ok(accepted(raw)),
            Root::NoType => {
                let members = raw.get().trim_start_matches('{').trim_start();
                let comma = if members.starts_with('}') { "" } else { "," };
                let typed = format!("{{\"type\":\"object\"{comma}{members}");
                return Ok(accepted(raw_json(typed)));
            }
            Root::Other => {}
        }
    }
    let mut value = parse_repaired(&raw, cx)?;
    let recursive = strict.is_some() && resolve_references(&value, false, cx.at).is_err();
    if refs {
        value = resolve_references(&value, true, cx.at)?;
    }
    if lookaround && strict::drop_lookaround(&mut value) {
        cx.warnings.add(format!(
            "{}: a pattern with look-around was left out (the model does not support it)",
            cx.at
        ));
    }
    let root = root::of_objects(value, cx)?;
    // What is strict is the client's schema. A root that was fitted to the model may allow more.
    let whole = strict.is_some().then(|| Value::Object(root.clone()));
    let (mut value, note) = root::fit(root, cx)?;
    let not_strict = strict.zip(whole).and_then(|(budget, whole)| {
        let strict = match recursive {
            true => Err(strict::RECURSIVE),
            false => strict::strict_tool(&whole, &value, budget, cx),
        };
        strict.map(|strict| value = strict).err()
    });
    Ok(ToolSchema {
        json: raw_json(value.to_string()),
        note,
        not_strict,
    })
}

/// Returns the schema of a structured answer for `outputConfig`. `strict` makes every property required. The inner error
/// says why the model cannot be held to this schema.
///
/// # Errors
/// 400 with the path of the schema if its references cannot be resolved.
pub fn for_answer(
    schema: Option<&RawValue>,
    strict: bool,
    budget: &mut StrictBudget,
    cx: &SchemaContext<'_>,
) -> Result<Result<AnswerSchema, &'static str>, Error> {
    let Some(raw) = schema else {
        return Ok(Err(strict::OPEN));
    };
    let raw = unique(Cow::Borrowed(raw), cx.at, "", cx.warnings);
    let schema = parse_repaired(&raw, cx)?;
    let Ok(value) = resolve_references(&schema, false, cx.at) else {
        // Rejected if a reference has no target, or the schema is too large.
        resolve_references(&schema, true, cx.at)?;
        return Ok(Err(strict::RECURSIVE));
    };
    let mut value = Value::Object(root::of_objects(value, cx)?);
    if let Err(why) = strict::make_answer_strict(&mut value, strict, budget, cx) {
        return Ok(Err(why));
    }
    let Value::Object(root) = value else {
        return Ok(Err(strict::OPEN));
    };
    let (mut value, note) = root::fit(root, cx)?;
    strict::close(&mut value);
    let json = value.to_string();
    Ok(Ok(AnswerSchema { json, note }))
}

/// Reports whether the schema is one of objects, which inputs of tools and structured answers must be.
pub fn is_of_objects(schema: &RawValue, at: &str) -> Result<bool, Error> {
    let value = references::inline_root(parse(schema, at)?, at)?;
    Ok(unions::is_of_objects(&value))
}

/// Returns the schema with all references resolved, so that checking an answer takes time bounded by its size. Returns
/// `None` if the references cannot be resolved.
pub fn without_references(schema: &RawValue) -> Option<Value> {
    const DYNAMIC: [&str; 4] = [
        "\"$dynamicRef\"",
        "\"$recursiveRef\"",
        "\"$id\"",
        "\"$anchor\"",
    ];
    let has = |keyword| json_text::contains(schema.get(), keyword);
    if DYNAMIC.into_iter().any(has) {
        return None;
    }
    let value: Value = serde_json::from_str(schema.get()).ok()?;
    resolve_references(&value, true, "").ok()
}

/// Parses a schema that is sent to the service.
fn parse_repaired(schema: &RawValue, cx: &SchemaContext<'_>) -> Result<Value, Error> {
    let mut value = parse(schema, cx.at)?;
    if malformed::repair(&mut value) {
        cx.warnings.add(format!(
            "{}: 'required' was left out where it is not a list of names (Bedrock rejects it)",
            cx.at
        ));
    }
    Ok(value)
}

fn parse(schema: &RawValue, at: &str) -> Result<Value, Error> {
    serde_json::from_str(schema.get())
        .map_err(|_| Error::invalid(at.to_owned(), "The value must be a JSON schema."))
}

/// How the root of a schema fits a model.
enum Root {
    Accepted,
    /// Accepted, but for the missing `type`.
    NoType,
    Other,
}

fn check_root(schema: &RawValue, accepted: SchemaRoot) -> Root {
    let root = RootMembers::of(schema);
    let fits = match accepted {
        SchemaRoot::Any => true,
        SchemaRoot::NoUnions => !root.has(&UNIONS),
        SchemaRoot::Plain => root.names().all(|name| root::PLAIN.contains(&name)),
    };
    match root.get("type") {
        _ if !fits || root.has(&["$ref"]) => Root::Other,
        Some(kind) if kind.get() == "\"object\"" => Root::Accepted,
        None if !root.has(&UNIONS) => Root::NoType,
        _ => Root::Other,
    }
}
