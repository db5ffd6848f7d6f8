//! Limits on the strict schemas of a request. They hold for all of them together, so schemas take their share in a fixed
//! order: the structured answer first, then the tools as the client lists them.

use std::{cell::Cell, collections::HashSet};

use serde_json::{Map, Value};

use super::{
    SchemaContext,
    nullable::{is_union, make_nullable_optional},
    visit::any_schema,
};
use crate::model::{Facts, StrictLimits};

const TOO_MANY_TOOLS: &str = "the model's limit on strict tools in a request is reached";
const TOO_MANY_OPTIONAL: &str =
    "the model's limit on optional members in strict schemas of a request is reached";
const TOO_MANY_UNIONS: &str =
    "the model's limit on unions in strict schemas of a request is reached";

/// What the limits leave for further strict schemas.
#[derive(Debug)]
pub struct StrictBudget {
    /// `None` if there are no limits.
    left: Option<StrictLimits>,
}

impl StrictBudget {
    /// Returns the budget of a request.
    pub fn new(facts: &Facts) -> Self {
        Self {
            left: facts.strict_limits,
        }
    }

    /// Takes the schema of a strict tool from the budget. Its references must be resolved. Returns whether `null` was
    /// removed from its unions, because there are too many; this requires `may_change`.
    ///
    /// # Errors
    /// The limit that the schema exceeds. Nothing is taken.
    pub fn take_tool(
        &mut self,
        schema: &mut Value,
        may_change: bool,
        cx: &SchemaContext<'_>,
    ) -> Result<bool, &'static str> {
        self.take(schema, 1, may_change, cx)
    }

    /// Takes the schema of a structured answer from the budget, like [`Self::take_tool`].
    ///
    /// # Errors
    /// The limit that the schema exceeds. Nothing is taken.
    pub fn take_answer(
        &mut self,
        schema: &mut Value,
        cx: &SchemaContext<'_>,
    ) -> Result<(), &'static str> {
        self.take(schema, 0, true, cx).map(|_| ())
    }

    fn take(
        &mut self,
        schema: &mut Value,
        tools: usize,
        may_change: bool,
        cx: &SchemaContext<'_>,
    ) -> Result<bool, &'static str> {
        let Some(left) = &mut self.left else {
            return Ok(false);
        };
        if tools > left.tools {
            return Err(TOO_MANY_TOOLS);
        }
        let (mut optional, all) = count(schema);
        let mut unions = all;
        let removes_null = all > left.unions;
        if removes_null {
            if may_change {
                make_nullable_optional(schema, all - left.unions);
                (optional, unions) = count(schema);
            }
            if unions > left.unions {
                return Err(TOO_MANY_UNIONS);
            }
        }
        if optional > left.optional {
            return Err(TOO_MANY_OPTIONAL);
        }
        if removes_null {
            cx.warnings.add(format!(
                "{}: members that may be 'null' were made optional instead (the schema has {all} unions, and the model's limit leaves {})",
                cx.at, left.unions
            ));
        }
        left.tools -= tools;
        left.optional -= optional;
        left.unions -= unions;
        Ok(removes_null)
    }
}

/// Counts the optional members and the unions of a schema.
fn count(schema: &Value) -> (usize, usize) {
    let (optional, unions) = (Cell::new(0), Cell::new(0));
    any_schema(schema, &|members| {
        unions.set(unions.get() + usize::from(is_union(members)));
        let required = members.get("required").and_then(Value::as_array);
        let required: HashSet<&str> = required
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let properties = members.get("properties").and_then(Value::as_object);
        let names = properties.into_iter().flat_map(Map::keys);
        let missing = names.filter(|name| !required.contains(name.as_str()));
        optional.set(optional.get() + missing.count());
        false
    });
    (optional.get(), unions.get())
}
