//! Facts about the JSON schemas that models accept.

use serde::{Deserialize, Serialize};

/// The keywords that a model accepts at the root of a tool's schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaRoot {
    /// All keywords.
    #[default]
    Any,
    /// All but `oneOf`, `anyOf` and `allOf`.
    NoUnions,
    /// Only `type`, `properties` and `required`.
    Plain,
}

/// The limits on all strict schemas of one request together: strict tools, and the schema of a structured answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StrictLimits {
    /// The most strict tools.
    pub tools: usize,
    /// The most members that are not required, at any depth.
    pub optional: usize,
    /// The most schemas with a union (`anyOf`, `oneOf` or a list of types), at any depth.
    pub unions: usize,
}
