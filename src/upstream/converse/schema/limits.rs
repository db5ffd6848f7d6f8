//! Limits on the strict schemas of a request. They hold for all of them together, so schemas take their share in a fixed
//! order: the structured answer first, then the tools as the client lists them.

use serde_json::{Map, Value};

use super::{SchemaContext, strict::remove_null_unions, visit::each_schema};
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

    /// Takes the schema of a strict tool from the budget. Removes `null` from its unions if there are too many.
    ///
    /// # Errors
    /// The limit that the schema exceeds. Nothing is taken.
    pub fn take_tool(
        &mut self,
        schema: &mut Value,
        cx: &SchemaContext<'_>,
    ) -> Result<(), &'static str> {
        self.take(schema, 1, cx)
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
        self.take(schema, 0, cx)
    }

    fn take(
        &mut self,
        schema: &mut Value,
        tools: usize,
        cx: &SchemaContext<'_>,
    ) -> Result<(), &'static str> {
        let Some(left) = &mut self.left else {
            return Ok(());
        };
        if tools > left.tools {
            return Err(TOO_MANY_TOOLS);
        }
        let (optional, mut unions) = count(schema);
        if optional > left.optional {
            return Err(TOO_MANY_OPTIONAL);
        }
        if unions > left.unions {
            let mut fewer = schema.clone();
            remove_null_unions(&mut fewer);
            let all = unions;
            (_, unions) = count(&mut fewer);
            if unions > left.unions {
                return Err(TOO_MANY_UNIONS);
            }
            *schema = fewer;
            cx.warnings.add(format!(
                "{}: 'null' was removed from unions (the schema has {all}, and the model's limit leaves {})",
                cx.at, left.unions
            ));
        }
        left.tools -= tools;
        left.optional -= optional;
        left.unions -= unions;
        Ok(())
    }
}

/// Counts the optional members and the unions of a schema.
fn count(schema: &mut Value) -> (usize, usize) {
    let (mut optional, mut unions) = (0, 0);
    each_schema(schema, &mut |members| {
        unions += usize::from(is_union(members));
        let required = members.get("required").and_then(Value::as_array);
        let properties = members.get("properties").and_then(Value::as_object);
        let required: std::collections::HashSet<&str> = required
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        optional += properties
            .into_iter()
            .flat_map(Map::keys)
            .filter(|name| !required.contains(name.as_str()))
            .count();
    });
    (optional, unions)
}

fn is_union(members: &Map<String, Value>) -> bool {
    members.get("type").is_some_and(Value::is_array)
        || ["anyOf", "oneOf"]
            .iter()
            .any(|of| members.contains_key(*of))
}
