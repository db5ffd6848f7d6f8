//! The most that a chat can cost: what budgets reserve before it leaves.

use super::{Chat, MAX_BUDGET, Part, VISIBLE, WEB_SEARCH, effort};
use crate::{
    call::{Caller, RetrievalRequest},
    model::{Facts, Model, ReasoningStyle},
    money::WorstCase,
};

/// What a family adds to a conversation, a message and a tool, in tokens; more than any is known
/// to add.
const TEMPLATE: u64 = 200;
const TOOLS_TEMPLATE: u64 = 1000;
const MESSAGE: u64 = 32;
const TOOL: u64 = 64;

/// More than any family counts for one image, in tokens.
const IMAGE: u64 = 6000;
/// About what an image costs, in tokens.
const LIKELY_IMAGE: u64 = 1500;

/// The longest context of any model on Bedrock, in tokens.
const LONG_WINDOW: u64 = 1_000_000;

/// The bound if neither the model's output nor its context has a known one, in tokens.
const UNKNOWN: u64 = 131_072;

/// The worst case of a chat. A token is never less than one byte of text. Passages of Knowledge
/// Bases count as much as their bounds allow.
pub fn worst_case(chat: &Chat, model: &Model, caller: &Caller) -> WorstCase {
    let facts = &model.facts;
    let retrieval = chat.retrieval.as_deref();
    let media = media(chat);
    let own = (chat.bytes as u64).saturating_sub(media.bytes);
    let text = own + retrieval.map_or(0, RetrievalRequest::max_bytes);
    let tools =
        chat.tools.as_ref().map_or(0, Vec::len) + chat.functions.as_ref().map_or(0, Vec::len);
    let template = if tools > 0 { TOOLS_TEMPLATE } else { TEMPLATE };
    let messages = chat.conversations().map(Vec::len).max().unwrap_or_default() as u64;
    let overhead = template + MESSAGE * messages + TOOL * tools as u64 + added(chat);
    // What cannot be bounded by its size may fill the context; so may a schema whose references
    // must be resolved.
    let window = window(chat, model);
    let passages = retrieval
        .filter(|_| facts.image)
        .map_or(0, |retrieval| u64::from(retrieval.max_images));
    let known = text + overhead + (media.images + passages) * IMAGE;
    // A managed prompt brings text and limits of its own.
    let prompt = model.target().is_prompt();
    let input = match media.unbounded || prompt || has_references(chat, facts) {
        true => window
            .unwrap_or(UNKNOWN)
            .max(known.min(window.unwrap_or(u64::MAX))),
        false => known.min(window.unwrap_or(u64::MAX)),
    };
    let repairs = chat.wants_json() && model.options.repair_json;
    let output = if prompt {
        all_output(facts)
    } else {
        output_tokens(chat, model)
    };
    WorstCase {
        // The second request of a repair holds the first answer too.
        input_tokens: if repairs {
            input + output + TEMPLATE
        } else {
            input
        },
        output_tokens: output,
        requests: chat.choices().saturating_mul(if repairs { 2 } else { 1 }),
        may_cache: facts.cache.is_some()
            && (media.marked || chat.caches_automatically(model, caller)),
        tier: chat.tier(),
        server_tools: facts.web_search.is_some() && wants_server_tools(chat),
        fees: retrieval
            .and_then(RetrievalRequest::max_fees)
            .unwrap_or_default(),
        unpriced_fees: retrieval.is_some_and(|retrieval| retrieval.max_fees().is_none()),
        ..WorstCase::default()
    }
}

/// About as many tokens as the chat will need: four bytes each, and all output that it may write.
pub fn likely_tokens(chat: &Chat, model: &Model) -> u64 {
    let media = media(chat);
    let own = (chat.bytes as u64).saturating_sub(media.bytes);
    let passages = chat
        .retrieval
        .as_deref()
        .map_or(0, RetrievalRequest::likely_bytes);
    let input = (own + passages) / 4 + media.images * LIKELY_IMAGE;
    let output = output_tokens(chat, model);
    input
        .saturating_add(output)
        .saturating_mul(u64::from(chat.choices().max(1)))
}

/// What a request may hold at most, where that is known. A beta may open a longer one than the catalogue's.
fn window(chat: &Chat, model: &Model) -> Option<u64> {
    let longer = model
        .price
        .as_ref()
        .is_some_and(|price| !price.long_context.is_empty())
        || chat
            .bedrock
            .as_ref()
            .is_some_and(|own| own.additional_model_request_fields.is_some());
    let window = model.facts.context_window?;
    Some(if longer {
        window.max(LONG_WINDOW)
    } else {
        window
    })
}

/// All that a model can write.
fn all_output(facts: &Facts) -> u64 {
    facts
        .max_output_tokens
        .map_or_else(|| facts.context_window.unwrap_or(UNKNOWN), u64::from)
}

/// `maxTokens` as it will be sent at most; where it must not be sent, all that the model can write.
fn output_tokens(chat: &Chat, model: &Model) -> u64 {
    let most = model.facts.max_output_tokens.unwrap_or(u32::MAX);
    let asked = chat.max_completion_tokens.or(chat.max_tokens);
    let plain = asked
        .unwrap_or(model.defaults.max_tokens)
        .min(most)
        .max(model.facts.min_output_tokens);
    // A word that nobody knows is refused later.
    let effort = effort(chat)
        .ok()
        .flatten()
        .filter(|effort| *effort != "none");
    let tokens = match (model.facts.reasoning.style, effort) {
        (ReasoningStyle::Budget, Some(_)) => plain
            .max(asked.unwrap_or(VISIBLE).saturating_add(MAX_BUDGET))
            .min(most),
        (ReasoningStyle::ReasoningConfig, Some("high" | "xhigh" | "max")) => most,
        _ => plain,
    };
    match tokens {
        u32::MAX => all_output(&model.facts),
        tokens => u64::from(tokens),
    }
}

/// What translation may add to the text: a schema is told once more, and strict ones grow.
fn added(chat: &Chat) -> u64 {
    let format = chat
        .response_format
        .as_ref()
        .and_then(|format| format.json_schema.as_ref()?.schema.as_ref());
    let functions = chat
        .tools
        .iter()
        .flatten()
        .filter_map(|tool| tool.function.as_ref());
    let functions = functions
        .chain(chat.functions.iter().flatten())
        .filter(|function| function.strict == Some(true));
    let strict = functions.filter_map(|function| function.parameters.as_ref());
    let schemas: usize = strict.chain(format).map(|schema| schema.get().len()).sum();
    let guarded: usize = match &chat.bedrock {
        Some(own)
            if own
                .guardrail
                .as_ref()
                .is_some_and(|own| own.guard.as_deref() == Some("tool_results")) =>
        {
            chat.conversations()
                .flatten()
                .flat_map(|message| &message.parts)
                .map(result_bytes)
                .sum()
        }
        _ => 0,
    };
    3 * schemas as u64 + guarded as u64
}

fn has_references(chat: &Chat, facts: &Facts) -> bool {
    let functions = chat
        .tools
        .iter()
        .flatten()
        .filter_map(|tool| tool.function.as_ref());
    let functions = functions.chain(chat.functions.iter().flatten());
    let refers = |schema: &serde_json::value::RawValue| schema.get().contains("$ref");
    let format = chat
        .response_format
        .as_ref()
        .and_then(|format| format.json_schema.as_ref()?.schema.as_ref());
    (!facts.schema_refs
        && functions
            .filter_map(|f| f.parameters.as_deref())
            .any(refers))
        || format.is_some_and(|schema| refers(schema))
}

/// Bytes of the text of a tool's result.
fn result_bytes(part: &Part) -> usize {
    match part {
        Part::ToolResult(result) => result
            .content
            .iter()
            .filter_map(Part::as_text)
            .map(str::len)
            .sum(),
        _ => 0,
    }
}

/// What of a body is not text.
#[derive(Default)]
struct MediaSize {
    /// Base64 within the body.
    bytes: u64,
    images: u64,
    /// Documents, audio and video: their size does not bound their tokens.
    unbounded: bool,
    /// The client marks what is to be cached.
    marked: bool,
}

fn media(chat: &Chat) -> MediaSize {
    let on_tools = chat
        .tools
        .iter()
        .flatten()
        .any(|tool| tool.cache_control.is_some());
    let mut size = MediaSize {
        marked: on_tools,
        ..MediaSize::default()
    };
    let messages = chat.conversations().flatten();
    messages
        .flat_map(|message| &message.parts)
        .for_each(|part| size.add(part));
    size
}

impl MediaSize {
    fn add(&mut self, part: &Part) {
        let data = match part {
            Part::Image(image) => {
                self.images += 1;
                Some(&image.value.url)
            }
            Part::Video(video) => {
                self.unbounded = true;
                Some(&video.value.url)
            }
            Part::File(file) => {
                self.unbounded = true;
                file.value.file_data.as_ref()
            }
            Part::Audio(audio) => {
                self.unbounded = true;
                Some(&audio.value.data)
            }
            Part::ToolResult(result) => {
                result.content.iter().for_each(|part| self.add(part));
                None
            }
            Part::CachePoint(_) => {
                self.marked = true;
                None
            }
            _ => None,
        };
        self.bytes += data.map_or(0, String::len) as u64;
    }
}

fn wants_server_tools(chat: &Chat) -> bool {
    let is_server_tool = |part: &Part| matches!(part, Part::ServerTool(_));
    chat.web_search_options.is_some()
        || chat
            .tools
            .iter()
            .flatten()
            .any(|tool| WEB_SEARCH.contains(&tool.kind.as_str()))
        || chat
            .conversations()
            .flatten()
            .any(|message| message.parts.iter().any(is_server_tool))
}
