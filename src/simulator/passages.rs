//! Passages of a Knowledge Base in a conversation: answers from them, and the user's text without them.

use serde_json::Value;

/// The start of a text that holds passages of a Knowledge Base.
const PASSAGES: &str = "<passages-";

/// Quotes the start of the first two passages of the last message, each with its citation.
pub fn answer(blocks: &[Value]) -> Option<String> {
    let context = blocks
        .iter()
        .filter_map(text_of)
        .find(|text| text.contains(PASSAGES))?;
    let begins = context.split("<passage-").skip(1).take(2);
    let sentences = begins.filter_map(|rest| {
        let (head, text) = rest.split_once(">\n")?;
        let number = head.split_once("number=\"")?.1.split('"').next()?;
        let words: Vec<&str> = text
            .split_whitespace()
            .take_while(|word| !word.starts_with("</passage-"))
            // A fence that the quotation does not close would make the rest code.
            .filter(|word| !word.starts_with("```"))
            .take(24)
            .collect();
        Some(format!("{} [{number}].", words.join(" ")))
    });
    Some(format!(
        "The passages say: {}",
        sentences.collect::<Vec<_>>().join(" ")
    ))
}

fn text_of(block: &Value) -> Option<&str> {
    block["text"]
        .as_str()
        .or_else(|| block["guardContent"]["text"]["text"].as_str())
}

/// The texts of a turn that are the user's own: neither passages nor, if the turn marks a query for the guardrail, an
/// instruction beside the passages.
pub fn said(blocks: &[Value]) -> Vec<&str> {
    let is_query = |block: &&Value| {
        let qualifiers = block["guardContent"]["text"]["qualifiers"].as_array();
        qualifiers.is_some_and(|all| all.iter().any(|one| one == "query"))
    };
    let marked = blocks.iter().any(|block| is_query(&block));
    let own = blocks.iter().filter(|block| !marked || is_query(block));
    own.filter_map(text_of)
        .filter(|text| !text.contains(PASSAGES))
        .collect()
}
