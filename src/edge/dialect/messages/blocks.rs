//! Converts content blocks to the parts of a conversation.

mod media;

use super::super::chat_completions::check_tools::{MAX_DEPTH, depth, name, too_deep};
use crate::{
    anthropic::content::{Block, Content, Role},
    call::Warnings,
    error::Error,
    operation::chat::{Part, RedactedThinking, Thinking, ToolInput, ToolResult, ToolUse},
};

/// The start of reasoning that the gateway has sealed for another dialect or another key.
const SEAL: &str = "lt1.";

/// Converts the blocks of a message of this role. `at` is the path of the list. Each block is followed by its cache point
/// if it has one.
///
/// # Errors
/// 400 with the path of the invalid block.
pub fn parts(
    blocks: Vec<Block>,
    role: Role,
    at: &str,
    warnings: &Warnings,
) -> Result<Vec<Part>, Error> {
    let mut parts = Vec::with_capacity(blocks.len());
    for (index, mut block) in blocks.into_iter().enumerate() {
        let at = format!("{at}[{index}]");
        let point = block.cache_control.take();
        converted(block, role, &at, warnings, &mut parts)?;
        parts.extend(point.map(|point| Part::CachePoint(*point)));
    }
    Ok(parts)
}

fn converted(
    block: Block,
    role: Role,
    at: &str,
    warnings: &Warnings,
    parts: &mut Vec<Part>,
) -> Result<(), Error> {
    match (block.kind.as_str(), role) {
        ("text", _) => {
            let text = required(block.text, "text", &block.kind, at)?;
            if !text.is_empty() {
                parts.push(Part::Text(text));
            }
        }
        // Anthropic's summary of a conversation that it has compacted.
        ("compaction", Role::Assistant) => {
            if let Some(Content::Text(text)) = block.content {
                parts.push(Part::Text(text));
            }
        }
        ("image", Role::User) => parts.push(media::image(block, at)?),
        ("document", Role::User) => media::document(block, at, parts)?,
        ("search_result", Role::User) => parts.push(media::search_result(block, at)?),
        ("tool_reference", Role::User) => parts.push(reference(block, at)?),
        ("tool_result", Role::User) => tool_result(block, at, warnings, parts)?,
        ("thinking", Role::Assistant) => parts.extend(thinking(block, at, warnings)?),
        ("redacted_thinking", Role::Assistant) => {
            let data = required(block.data, "data", &block.kind, at)?.into_string();
            match data.starts_with(SEAL) {
                true => foreign(at, warnings),
                false => parts.push(Part::RedactedThinking(RedactedThinking { data })),
            }
        }
        ("tool_use", Role::Assistant) => parts.push(tool_use(block, at)?),
        (kind, role) => {
            let kind: String = kind.chars().take(40).collect();
            warnings.add(format!(
                "{at}: dropped (Converse has no block of type '{kind}' in a message of the role '{}')",
                role.as_str()
            ));
        }
    }
    Ok(())
}

/// Returns the thinking of an earlier answer. Clients return an empty signature for thinking that no model has signed.
fn thinking(block: Block, at: &str, warnings: &Warnings) -> Result<Option<Part>, Error> {
    let text = required(block.thinking, "thinking", &block.kind, at)?.into_string();
    let signature = block.signature.map(String::from);
    if signature
        .as_ref()
        .is_some_and(|text| text.starts_with(SEAL))
    {
        foreign(at, warnings);
        return Ok(None);
    }
    let signature = signature.filter(|signature| !signature.is_empty());
    Ok(Some(Part::Thinking(Thinking { text, signature })))
}

fn foreign(at: &str, warnings: &Warnings) {
    warnings.add(format!(
        "{at}: dropped (this reasoning can only be sent back to the model and by the key that it is sealed for)"
    ));
}

fn tool_use(block: Block, at: &str) -> Result<Part, Error> {
    let id = required(block.id, "id", &block.kind, at)?.into_string();
    if id.is_empty() {
        return Err(missing("id", &block.kind, at));
    }
    let tool = required(block.name, "name", &block.kind, at)?.into_string();
    name(&tool, || format!("{at}.name"))?;
    let input = block
        .input
        .map_or_else(|| "{}".to_owned(), |input| input.get().to_owned());
    if !input.starts_with('{') {
        let text = "'input' must be an object.";
        return Err(Error::invalid(format!("{at}.input"), text));
    }
    if depth(&input) > MAX_DEPTH {
        return Err(too_deep(format!("{at}.input")));
    }
    Ok(Part::ToolUse(ToolUse {
        id,
        name: tool,
        input: ToolInput::Arguments(input),
    }))
}

/// Adds a tool result. Its cache points follow it, because Bedrock does not accept them inside.
fn tool_result(
    block: Block,
    at: &str,
    warnings: &Warnings,
    parts: &mut Vec<Part>,
) -> Result<(), Error> {
    let id = required(block.tool_use_id, "tool_use_id", &block.kind, at)?.into_string();
    let content = match block.content {
        None | Some(Content::Object) => Vec::new(),
        Some(Content::Text(text)) => vec![Part::Text(text)],
        Some(Content::Blocks(blocks)) => {
            let at = format!("{at}.content");
            self::parts(blocks, Role::User, &at, warnings)?
        }
    };
    if content
        .iter()
        .any(|part| matches!(part, Part::ToolResult(_)))
    {
        let text = "A tool result cannot contain another one.";
        return Err(Error::invalid(format!("{at}.content"), text));
    }
    let is_point = |part: &Part| matches!(part, Part::CachePoint(_));
    let (points, content): (Vec<_>, Vec<_>) = content.into_iter().partition(is_point);
    parts.push(Part::ToolResult(ToolResult {
        id,
        content,
        is_error: block.is_error == Some(true),
    }));
    parts.extend(points);
    Ok(())
}

/// Returns the text for a tool that a search of tools has found. The tool itself is among those of the request.
fn reference(block: Block, at: &str) -> Result<Part, Error> {
    let tool = required(block.tool_name, "tool_name", &block.kind, at)?;
    Ok(Part::Text(format!("The tool {tool} is available.")))
}

/// Returns the value of a member that blocks of this kind need.
fn required<T>(value: Option<T>, member: &str, kind: &str, at: &str) -> Result<T, Error> {
    value.ok_or_else(|| missing(member, kind, at))
}

fn missing(member: &str, kind: &str, at: &str) -> Error {
    let text = format!("A block of type '{kind}' needs '{member}'.");
    Error::invalid(format!("{at}.{member}"), text).with_code("missing_required_parameter")
}
