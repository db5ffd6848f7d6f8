//! Converts content blocks to the parts of a conversation.

mod media;

use super::super::{
    Policies,
    chat_completions::check_tools::{MAX_DEPTH, depth, name, too_deep},
    foreign_reasoning,
    responses::sealed,
};
use crate::{
    anthropic::content::{Block, Content, Role},
    call::Warnings,
    edge::seal::Seals,
    error::Error,
    operation::chat::{
        Part, RedactedThinking, Thinking, ToolInput, ToolReference, ToolResult, ToolUse,
    },
};

/// The start of reasoning that the gateway has sealed.
const SEAL: &str = "lt1.";

/// What the conversion of blocks depends on.
pub struct Opener<'a> {
    pub seals: &'a Seals,
    pub key_id: &'a str,
    pub policies: Policies,
    pub warnings: &'a Warnings,
    /// The text that was sealed. Its size is in the body already.
    pub opened: Vec<u8>,
}

impl Opener<'_> {
    /// Returns the reasoning in a seal. Drops what does not open, because the answer is only poorer without it.
    ///
    /// # Errors
    /// 400 instead, if the operator wants that.
    fn open(&mut self, sealed: &str, at: &str) -> Result<Vec<Part>, Error> {
        let Some(parts) = sealed::open(sealed, self.seals, self.key_id) else {
            if self.policies.refuses_foreign_reasoning {
                return Err(foreign_reasoning(at.to_owned()));
            }
            self.warnings.add(format!(
                "{at}: reasoning_dropped (this gateway did not seal it for this key)"
            ));
            return Ok(Vec::new());
        };
        for part in &parts {
            if let Part::Thinking(thinking) = part {
                self.opened.extend_from_slice(thinking.text.as_bytes());
            }
        }
        Ok(parts)
    }
}

/// Converts the blocks of a message of this role. `at` is the path of the list. Each block is followed by its cache point
/// if it has one.
///
/// # Errors
/// 400 with the path of the invalid block.
pub fn parts(
    blocks: Vec<Block>,
    role: Role,
    at: &str,
    cx: &mut Opener<'_>,
) -> Result<Vec<Part>, Error> {
    let mut parts = Vec::with_capacity(blocks.len());
    for (index, mut block) in blocks.into_iter().enumerate() {
        let at = format!("{at}[{index}]");
        let point = block.cache_control.take();
        converted(block, role, &at, cx, &mut parts)?;
        parts.extend(point.map(|point| Part::CachePoint(*point)));
    }
    Ok(parts)
}

fn converted(
    block: Block,
    role: Role,
    at: &str,
    cx: &mut Opener<'_>,
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
        ("tool_result", Role::User) => tool_result(block, at, cx, parts)?,
        ("thinking", Role::Assistant) => parts.extend(thinking(block, at, cx)?),
        ("redacted_thinking", Role::Assistant) => {
            let data = required(block.data, "data", &block.kind, at)?.into_string();
            match data.starts_with(SEAL) {
                true => parts.extend(cx.open(&data, at)?),
                false => parts.push(Part::RedactedThinking(RedactedThinking { data })),
            }
        }
        ("tool_use", Role::Assistant) => parts.push(tool_use(block, at)?),
        // They are applied to the list of tools.
        ("tool_addition" | "tool_removal", Role::System) => {}
        (kind, role) => {
            let kind: String = kind.chars().take(40).collect();
            cx.warnings.add(format!(
                "{at}: dropped (Converse has no block of type '{kind}' in a message of the role '{}')",
                role.as_str()
            ));
        }
    }
    Ok(())
}

/// Returns the thinking of an earlier answer. Clients return an empty signature for thinking that no model has signed.
fn thinking(block: Block, at: &str, cx: &mut Opener<'_>) -> Result<Vec<Part>, Error> {
    let text = required(block.thinking, "thinking", &block.kind, at)?.into_string();
    let signature = block.signature.map(String::from);
    if let Some(sealed) = signature.as_ref().filter(|text| text.starts_with(SEAL)) {
        return cx.open(sealed, at);
    }
    let signature = signature.filter(|signature| !signature.is_empty());
    Ok(vec![Part::Thinking(Thinking { text, signature })])
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
    cx: &mut Opener<'_>,
    parts: &mut Vec<Part>,
) -> Result<(), Error> {
    let id = required(block.tool_use_id, "tool_use_id", &block.kind, at)?.into_string();
    let content = match block.content {
        None | Some(Content::Object) => Vec::new(),
        Some(Content::Text(text)) => vec![Part::Text(text)],
        Some(Content::Blocks(blocks)) => {
            let at = format!("{at}.content");
            self::parts(blocks, Role::User, &at, cx)?
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

/// Returns a tool that a search of tools has found. The tool itself is among those of the request.
fn reference(block: Block, at: &str) -> Result<Part, Error> {
    let tool = required(block.tool_name, "tool_name", &block.kind, at)?.into_string();
    name(&tool, || format!("{at}.tool_name"))?;
    Ok(Part::ToolReference(ToolReference {
        text: format!("The tool {tool} is available."),
        name: tool,
    }))
}

/// Returns the value of a member that blocks of this kind need.
fn required<T>(value: Option<T>, member: &str, kind: &str, at: &str) -> Result<T, Error> {
    value.ok_or_else(|| missing(member, kind, at))
}

fn missing(member: &str, kind: &str, at: &str) -> Error {
    let text = format!("A block of type '{kind}' needs '{member}'.");
    Error::invalid(format!("{at}.{member}"), text).with_code("missing_required_parameter")
}
