//! Guardrails. Every id exists. A guardrail blocks text with the word [`BLOCKED`].

use serde_json::Value;

/// A word that every guardrail blocks.
const BLOCKED: &str = "contraband";

/// The service's limits on the texts of a contextual grounding check, in characters.
const MAX_SOURCE: usize = 100_000;
const MAX_QUERY: usize = 1000;

/// Whether the guardrail of a Converse request intervenes.
pub fn intervenes(request: &Value) -> bool {
    evaluated(request).iter().any(|text| text.contains(BLOCKED))
}

/// The texts that the guardrail of a Converse request evaluates: all text of the messages or, if there are guarded blocks,
/// only theirs. A block that serves only the contextual grounding check is not evaluated.
fn evaluated(request: &Value) -> Vec<&str> {
    let guarded = guarded(request);
    if guarded.is_empty() {
        return blocks(request)
            .filter_map(|block| block["text"].as_str())
            .collect();
    }
    guarded
        .into_iter()
        .map(|block| &block["text"])
        .filter(|text| !serves_grounding(text) || has(text, "guard_content"))
        .filter_map(|text| text["text"].as_str())
        .collect()
}

/// Checks the sizes of what a contextual grounding check compares.
///
/// # Errors
/// The reason why the service rejects the request.
pub fn check(request: &Value) -> Result<(), String> {
    for (qualifier, most) in [("grounding_source", MAX_SOURCE), ("query", MAX_QUERY)] {
        let guarded = guarded(request);
        let texts = guarded.iter().map(|block| &block["text"]);
        let chars: usize = texts
            .filter(|text| has(text, qualifier))
            .filter_map(|text| text["text"].as_str())
            .map(|text| text.chars().count())
            .sum();
        if chars > most {
            return Err(format!(
                "The {qualifier} has {chars} characters, which exceeds the limit of {most}."
            ));
        }
    }
    Ok(())
}

fn blocks(request: &Value) -> impl Iterator<Item = &Value> {
    let messages = request["messages"].as_array().into_iter().flatten();
    messages
        .filter_map(|message| message["content"].as_array())
        .flatten()
}

fn guarded(request: &Value) -> Vec<&Value> {
    blocks(request)
        .map(|block| &block["guardContent"])
        .filter(|block| block.is_object())
        .collect()
}

fn serves_grounding(text: &Value) -> bool {
    has(text, "grounding_source") || has(text, "query")
}

fn has(text: &Value, qualifier: &str) -> bool {
    let all = text["qualifiers"].as_array().into_iter().flatten();
    all.into_iter().any(|one| one == qualifier)
}
