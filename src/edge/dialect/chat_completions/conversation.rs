//! Converts OpenAI's messages to a conversation. Members such as `tool_calls` and `thinking_blocks` become parts of the
//! message, in the order in which the model emitted them.

use std::collections::HashSet;

use crate::{
    call::Warnings,
    openai::message::{
        CacheControl, Content, FunctionCall, Message as WireMessage, Part as WirePart,
        ReasoningDetail, Role as WireRole, ThinkingBlock, ToolCall,
    },
    operation::chat::{
        Media, Message, Origin, Part, RedactedThinking, Role, Thinking, ToolInput, ToolResult,
        ToolUse,
    },
};

/// Converts validated messages to a conversation.
pub fn messages(messages: Vec<WireMessage>, warnings: &Warnings) -> Vec<Message> {
    let mut legacy = LegacyCalls::default();
    let messages = messages.into_iter().enumerate();
    messages
        .filter_map(|(index, message)| {
            // Bedrock accepts no images of the model, so an answer in images alone leaves nothing to send.
            // Nor is reasoning without a signature sent back.
            let has_other = message.images.is_some() || message.reasoning_content.is_some();
            let message = convert(message, index, &mut legacy);
            let is_empty = is_empty(&message);
            if is_empty && !has_other {
                let origin = message.origin;
                warnings.add(format!(
                    "{origin}: dropped (the assistant message is empty)"
                ));
            }
            (!is_empty).then_some(message)
        })
        .collect()
}

/// Reports whether the message is an answer without content, such as an aborted one that the client has kept. Bedrock
/// rejects such messages.
fn is_empty(message: &Message) -> bool {
    let is_blank = |part: &Part| match part {
        Part::Text(text) => text.trim().is_empty(),
        Part::CachePoint(_) => true,
        _ => false,
    };
    message.role == Role::Assistant && message.parts.iter().all(is_blank)
}

/// Legacy function calls without a result so far: the name of the function, and the ID that this module assigned to the
/// call.
#[derive(Default)]
struct LegacyCalls(Vec<(String, String)>);

fn convert(message: WireMessage, index: usize, legacy: &mut LegacyCalls) -> Message {
    let origin = Origin {
        list: "messages",
        index,
    };
    let at = origin.to_string();
    let wire_role = message.role;
    let mut name = message.name;
    let role = match wire_role {
        WireRole::System | WireRole::Developer => Role::System,
        WireRole::User | WireRole::Tool | WireRole::Function => Role::User,
        WireRole::Assistant => Role::Assistant,
    };
    let mut parts = Vec::new();
    match wire_role {
        WireRole::Tool => {
            let id = message.tool_call_id.unwrap_or_default();
            parts.extend(result(id, message.content, false, &at));
        }
        WireRole::Function => {
            let function = name.take().unwrap_or_default();
            let waiting = legacy
                .0
                .iter()
                .position(|(waiting, _)| *waiting == function);
            let id = waiting.map(|at| legacy.0.remove(at).1).unwrap_or_default();
            parts.extend(result(id, message.content, false, &at));
        }
        WireRole::Assistant => {
            let reasoning = Reasoning {
                blocks: message.thinking_blocks.unwrap_or_default(),
                details: message.reasoning_details.unwrap_or_default(),
                text: message.reasoning_content,
                signature: message.reasoning_signature,
            };
            let content = content(message.content, &at);
            // Thinking parts in the content take precedence, because they have their original positions.
            if !content.iter().any(Part::is_thinking) {
                parts.extend(reasoning.parts());
            }
            parts.extend(
                message
                    .server_tool_blocks
                    .into_iter()
                    .flatten()
                    .map(Part::ServerTool),
            );
            parts.extend(content);
            parts.extend(message.refusal.map(Part::Text));
            // Some clients send a call both as a content part and in `tool_calls`.
            let in_content: HashSet<String> = parts.iter().filter_map(Part::call_id).collect();
            let calls = message.tool_calls.into_iter().flatten();
            parts.extend(
                calls
                    .filter(|call| !in_content.contains(&call.id))
                    .flat_map(tool_use),
            );
            if let Some(FunctionCall { name, arguments }) = message.function_call {
                let id = format!("function_call_{index}");
                legacy.0.push((name.clone(), id.clone()));
                let input = ToolInput::Arguments(arguments);
                parts.push(Part::ToolUse(ToolUse { id, name, input }));
            }
        }
        WireRole::System | WireRole::Developer | WireRole::User => {
            parts.extend(content(message.content, &at));
        }
    }
    parts.extend(message.cache_control.map(Part::CachePoint));
    Message {
        role,
        name,
        parts,
        origin,
    }
}

/// The formats in which clients send reasoning back.
struct Reasoning {
    blocks: Vec<ThinkingBlock>,
    details: Vec<ReasoningDetail>,
    text: Option<String>,
    signature: Option<String>,
}

impl Reasoning {
    /// Converts the most detailed format that is present. The others contain the same reasoning.
    fn parts(self) -> Vec<Part> {
        if !self.blocks.is_empty() {
            return self.blocks.into_iter().map(block).collect();
        }
        if !self.details.is_empty() {
            return joined(self.details).into_iter().map(detail).collect();
        }
        let thinking = |text| thinking(text, self.signature);
        self.text.map(thinking).into_iter().collect()
    }
}

fn thinking(text: String, signature: Option<String>) -> Part {
    Part::Thinking(Thinking { text, signature })
}

fn redacted(data: String) -> Part {
    Part::RedactedThinking(RedactedThinking { data })
}

fn block(block: ThinkingBlock) -> Part {
    match block.data {
        Some(data) => redacted(data),
        None => thinking(block.thinking, block.signature),
    }
}

/// Joins the pieces of each block: clients that collect a stream keep one entry per delta.
fn joined(details: Vec<ReasoningDetail>) -> Vec<ReasoningDetail> {
    let mut blocks: Vec<ReasoningDetail> = Vec::new();
    for piece in details {
        let index =
            |detail: &ReasoningDetail| detail.index.as_ref().map(|index| index.get().to_owned());
        let same = |block: &&mut ReasoningDetail| {
            block.kind == piece.kind && index(block).is_some() && index(block) == index(&piece)
        };
        let Some(block) = blocks.last_mut().filter(same) else {
            blocks.push(piece);
            continue;
        };
        let append = |old: &mut Option<String>, new: Option<String>| match (old, new) {
            (Some(old), Some(new)) => old.push_str(&new),
            (old, new @ Some(_)) => *old = new,
            (_, None) => {}
        };
        append(&mut block.text, piece.text);
        append(&mut block.summary, piece.summary);
        append(&mut block.signature, piece.signature);
        append(&mut block.data, piece.data);
    }
    blocks
}

fn detail(detail: ReasoningDetail) -> Part {
    match detail.data {
        Some(data) => redacted(data),
        None => thinking(
            detail.text.or(detail.summary).unwrap_or_default(),
            detail.signature,
        ),
    }
}

/// Converts a call, followed by its cache point if it has one.
fn tool_use(call: ToolCall) -> Vec<Part> {
    let (id, point) = (call.id, call.cache_control);
    let (name, input) = match (call.custom, call.function) {
        (Some(custom), _) => (custom.name, ToolInput::Text(custom.input)),
        (None, Some(function)) => (function.name, ToolInput::Arguments(function.arguments)),
        (None, None) => return Vec::new(),
    };
    let call = Part::ToolUse(ToolUse { id, name, input });
    std::iter::once(call)
        .chain(point.map(Part::CachePoint))
        .collect()
}

/// Converts a tool result. Its cache points follow it, because Bedrock does not accept them inside.
fn result(id: String, wire: Option<Content>, is_error: bool, at: &str) -> Vec<Part> {
    let is_point = |part: &Part| matches!(part, Part::CachePoint(_));
    let (points, content): (Vec<_>, Vec<_>) = content(wire, at).into_iter().partition(is_point);
    let result = Part::ToolResult(ToolResult {
        id,
        content,
        is_error,
    });
    std::iter::once(result).chain(points).collect()
}

fn content(content: Option<Content>, at: &str) -> Vec<Part> {
    match content {
        None => Vec::new(),
        Some(Content::Text(text)) => vec![Part::Text(text)],
        Some(Content::Parts(parts)) => (0..)
            .zip(parts)
            .flat_map(|(nth, part): (usize, _)| content_part(part, &format!("{at}.content[{nth}]")))
            .collect(),
    }
}

/// Converts a content part, followed by its cache point if it has one.
fn content_part(part: WirePart, at: &str) -> Vec<Part> {
    fn media<T>(value: T, at: &str) -> Media<T> {
        Media {
            value,
            at: at.to_owned(),
        }
    }
    let breakpoint = part.prompt_cache_breakpoint.map(|_| CacheControl {
        ttl: None,
        kind: None,
    });
    let point = part.cache_control.or(part.cache_point);
    let point = point.map(|point| *point).or(breakpoint);
    let mut parts = match part.kind.as_str() {
        "image_url" => part.image_url.map(|image| Part::Image(media(*image, at))),
        "video_url" => part.video_url.map(|video| Part::Video(media(*video, at))),
        "input_audio" => part.input_audio.map(|audio| Part::Audio(media(*audio, at))),
        "file" => part.file.map(|file| Part::File(media(*file, at))),
        "search_result" => part
            .search_result
            .map(|found| Part::SearchResult(media(*found, at))),
        "thinking" => part
            .thinking
            .map(|text| thinking(text.into(), part.signature.map(String::from))),
        "redacted_thinking" => part.data.map(|data| redacted(data.into())),
        "tool_use" => part.id.zip(part.name).map(|(id, name)| {
            let input = part
                .input
                .map_or_else(|| "{}".to_owned(), |input| input.get().to_owned());
            Part::ToolUse(ToolUse {
                id: id.into(),
                name: name.into(),
                input: ToolInput::Arguments(input),
            })
        }),
        "tool_result" => {
            let id = part.tool_use_id.unwrap_or_default().into();
            let mut parts = result(id, part.content, part.is_error == Some(true), at);
            parts.extend(point.map(Part::CachePoint));
            return parts;
        }
        _ => part.text.or(part.refusal.map(String::from)).map(Part::Text),
    }
    .into_iter()
    .collect::<Vec<_>>();
    parts.extend(point.map(Part::CachePoint));
    parts
}
