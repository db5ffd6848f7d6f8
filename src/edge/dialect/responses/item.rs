//! Parses items and tools, whose type is known only after a first look at them.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    error::Error,
    openai::{object::Object, objects_only::ObjectsOnly, responses::served::Kind},
};

/// Parses the item at the path `at`.
///
/// # Errors
/// 400 with the path, if the item does not have the members of its type.
pub fn parse<'de, T: Deserialize<'de>>(raw: &'de RawValue, at: &str) -> Result<T, Error> {
    let mut json = serde_json::Deserializer::from_str(raw.get());
    T::deserialize(ObjectsOnly(&mut json)).map_err(|error| {
        // The rest of the text quotes the value, which may be a prompt, and positions within it.
        let text = error.to_string();
        let text = text.split(" at line ").next().unwrap_or_default();
        let text: String = text.chars().take(200).collect();
        Error::invalid(at, format!("'{at}' is invalid: {text}."))
            .with_code("invalid_type")
            .with_log_message(format!("'{at}' is invalid"))
    })
}

/// Returns the type of the item at the path `at`. A message needs none.
///
/// # Errors
/// 400 if the item is no object.
pub fn kind(raw: &RawValue, at: &str) -> Result<String, Error> {
    let Object(Kind { kind }) = parse(raw, at)?;
    Ok(kind.map_or_else(|| "message".to_owned(), |kind| kind.into_owned()))
}
