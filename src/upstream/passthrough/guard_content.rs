//! Removes the client's marks of guarded content. At the first mark, Bedrock stops to evaluate everything that is not marked,
//! so a client could hide text from the operator's guardrail.

use serde_json::value::RawValue;

use crate::{error::Error, upstream::invoke::chat::body::Body};

/// The block that marks its content.
const MARK: &str = "guardContent";

/// Replaces every mark in the messages and in the system text by its content. Everything else keeps its text.
///
/// # Errors
/// 400 if the messages are not lists of blocks.
pub fn unmark(body: &mut Body) -> Result<(), Error> {
    if let Some(system) = body.get("system") {
        let system = unmarked(system)?;
        body.set("system", &system)?;
    }
    let Some(messages) = body.get("messages") else {
        return Ok(());
    };
    let mut messages: Vec<Body> = read(messages, "messages")?;
    for message in &mut messages {
        unmark_content(message)?;
    }
    body.set("messages", &messages)
}

/// Removes the marks from the member `content` of a message or of a tool result.
fn unmark_content(owner: &mut Body) -> Result<(), Error> {
    match owner.get("content") {
        Some(content) => {
            let content = unmarked(content)?;
            owner.set("content", &content)
        }
        None => Ok(()),
    }
}

/// Returns a list of blocks without marks.
fn unmarked(blocks: &RawValue) -> Result<Vec<Body>, Error> {
    let mut blocks: Vec<Body> = read(blocks, "content")?;
    for block in &mut blocks {
        if let Some(marked) = block.get(MARK) {
            *block = content(marked)?;
        } else if let Some(result) = block.get("toolResult") {
            let mut result: Body = read(result, "toolResult")?;
            unmark_content(&mut result)?;
            block.set("toolResult", &result)?;
        }
    }
    Ok(blocks)
}

/// Returns the block that a mark encloses. The text of a mark has qualifiers beside it, which only a guardrail reads.
fn content(marked: &RawValue) -> Result<Body, Error> {
    let mut marked: Body = read(marked, MARK)?;
    let text = match marked.get("text") {
        Some(text) => read::<Body>(text, MARK)?.get("text").map(ToOwned::to_owned),
        None => None,
    };
    if let Some(text) = text {
        marked.set("text", &text)?;
    }
    Ok(marked)
}

fn read<'a, T: serde::Deserialize<'a>>(raw: &'a RawValue, at: &str) -> Result<T, Error> {
    serde_json::from_str(raw.get())
        .map_err(|_| Error::invalid(at, format!("'{at}' does not have the form of Converse.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_replaced_by_their_content_and_the_rest_keeps_its_text() {
        let cases = [
            (
                r#"{"guardContent":{"text":{"text":"x","qualifiers":["query"]}}}"#,
                r#"{"text":"x"}"#,
            ),
            (
                r#"{"guardContent":{"image":{"format":"png","source":{"bytes":"AA=="}}}}"#,
                r#"{"image":{"format":"png","source":{"bytes":"AA=="}}}"#,
            ),
            (
                r#"{"toolResult":{"toolUseId":"a","content":[{"json":{"b":1.50}},{"guardContent":{"text":{"text":"y"}}}]}}"#,
                r#"{"toolResult":{"toolUseId":"a","content":[{"json":{"b":1.50}},{"text":"y"}]}}"#,
            ),
        ];
        for (marked, expected) in cases {
            let with = |block: &str| {
                format!(
                    r#"{{"system":[{block}],"messages":[{{"role":"user","content":[{{"text":"é"}},{block}]}}],"inferenceConfig":{{"topP":0.50}}}}"#
                )
            };
            let mut body = Body::read(with(marked).as_bytes()).unwrap();
            unmark(&mut body).unwrap();
            assert_eq!(body.into_bytes(), with(expected));
        }
    }
}
