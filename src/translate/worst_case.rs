//! The most that a request can come to: what budgets set aside before it leaves.

use super::{reasoning, tools::WEB_SEARCH};
use crate::{
    call::{CachePolicy, Caller, Facts, Model, Question, ReasoningStyle, Tier, WorstCase},
    openai::{
        chat::ChatRequest,
        message::{Content, Part},
    },
};

/// What a family puts around a conversation, a message and a tool, in tokens; more than any is known to.
const TEMPLATE: u64 = 200;
const TOOLS_TEMPLATE: u64 = 1000;
const MESSAGE: u64 = 32;
const TOOL: u64 = 64;

/// More than any family counts for one image, in tokens.
const IMAGE: u64 = 6000;
/// About what an image comes to.
const LIKELY_IMAGE: u64 = 1500;

/// The longest context that any model of Bedrock has, in tokens.
const LONG_WINDOW: u64 = 1_000_000;

/// Where neither the model's output nor its context has a known bound, in tokens.
const UNKNOWN: u64 = 131_072;

/// The worst case of a request whose body has `bytes` bytes. A token is never less than one byte of text. Passages of
/// Knowledge Bases come to what they may at most.
pub fn worst_case(
    request: &ChatRequest,
    bytes: usize,
    model: &Model,
    caller: &Caller,
    question: Option<&Question>,
) -> WorstCase {
    let facts = &model.facts;
    let media = media(request);
    let own = (bytes as u64).saturating_sub(media.bytes);
    let text = own + question.map_or(0, Question::most_bytes);
    let tools =
        request.tools.as_ref().map_or(0, Vec::len) + request.functions.as_ref().map_or(0, Vec::len);
    let template = if tools > 0 { TOOLS_TEMPLATE } else { TEMPLATE };
    let overhead =
        template + MESSAGE * request.messages.len() as u64 + TOOL * tools as u64 + added(request);
    // What cannot be told from its size may fill the context; so may a schema whose references must be resolved.
    let window = window(request, model);
    let passages = question
        .filter(|_| facts.image)
        .map_or(0, |question| u64::from(question.max_images));
    let known = text + overhead + (media.images + passages) * IMAGE;
    // A managed prompt brings text and limits of its own.
    let prompt = model.target.id.starts_with("arn:") && model.target.id.contains(":prompt/");
    let input = match media.unbounded || prompt || has_references(request, facts) {
        true => window
            .unwrap_or(UNKNOWN)
            .max(known.min(window.unwrap_or(u64::MAX))),
        false => known.min(window.unwrap_or(u64::MAX)),
    };
    let json = request
        .response_format
        .as_ref()
        .is_some_and(|format| format.kind == "json_schema");
    let repairs = json && model.options.repair_json;
    let output = if prompt {
        all_output(facts)
    } else {
        output_tokens(request, model)
    };
    WorstCase {
        // The second request of a repair holds the first answer too.
        input_tokens: if repairs {
            input + output + TEMPLATE
        } else {
            input
        },
        output_tokens: output,
        requests: request
            .n
            .unwrap_or(1)
            .saturating_mul(if repairs { 2 } else { 1 }),
        may_cache: facts.cache.is_some() && (media.marked || is_automatic(request, model, caller)),
        tier: tier(request),
        server_tools: facts.web_search.is_some() && wants_server_tools(request),
        fees: question.and_then(Question::most_fees).unwrap_or_default(),
        unpriced_fees: question.is_some_and(|question| question.most_fees().is_none()),
        likely_input_tokens: (own + question.map_or(0, Question::likely_bytes)) / 4
            + media.images * LIKELY_IMAGE,
    }
}

/// What a request may hold at most, where that is known. A beta may open a longer one than the catalogue's.
fn window(request: &ChatRequest, model: &Model) -> Option<u64> {
    let longer = model
        .price
        .as_ref()
        .is_some_and(|price| !price.long_context.is_empty())
        || request
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
fn output_tokens(request: &ChatRequest, model: &Model) -> u64 {
    let most = model.facts.max_output_tokens.unwrap_or(u32::MAX);
    let asked = request.max_completion_tokens.or(request.max_tokens);
    let plain = asked
        .unwrap_or(model.defaults.max_tokens)
        .min(most)
        .max(model.facts.min_output_tokens);
    // A word that nobody knows is refused later.
    let effort = reasoning::effort(request)
        .ok()
        .flatten()
        .filter(|effort| *effort != "none");
    let tokens = match (model.facts.reasoning.style, effort) {
        (ReasoningStyle::Budget, Some(_)) => {
            plain.max(reasoning::most_with_budget(asked)).min(most)
        }
        (ReasoningStyle::ReasoningConfig, Some("high" | "xhigh" | "max")) => most,
        _ => plain,
    };
    match tokens {
        u32::MAX => all_output(&model.facts),
        tokens => u64::from(tokens),
    }
}

/// What translation may add to the text: a schema is told once more, and strict ones grow.
fn added(request: &ChatRequest) -> u64 {
    let format = request
        .response_format
        .as_ref()
        .and_then(|format| format.json_schema.as_ref()?.schema.as_ref());
    let functions = request
        .tools
        .iter()
        .flatten()
        .filter_map(|tool| tool.function.as_ref());
    let functions = functions
        .chain(request.functions.iter().flatten())
        .filter(|function| function.strict == Some(true));
    let strict = functions.filter_map(|function| function.parameters.as_ref());
    let schemas: usize = strict.chain(format).map(|schema| schema.get().len()).sum();
    let results = request
        .messages
        .iter()
        .filter(|message| message.tool_call_id.is_some());
    let guarded: usize = match &request.bedrock {
        Some(own)
            if own
                .guardrail
                .as_ref()
                .is_some_and(|own| own.guard.as_deref() == Some("tool_results")) =>
        {
            results
                .map(|message| message.content.as_ref().map_or(0, length))
                .sum()
        }
        _ => 0,
    };
    3 * schemas as u64 + guarded as u64
}

fn has_references(request: &ChatRequest, facts: &Facts) -> bool {
    let functions = request
        .tools
        .iter()
        .flatten()
        .filter_map(|tool| tool.function.as_ref());
    let functions = functions.chain(request.functions.iter().flatten());
    let refers = |schema: &serde_json::value::RawValue| schema.get().contains("$ref");
    let format = request
        .response_format
        .as_ref()
        .and_then(|format| format.json_schema.as_ref()?.schema.as_ref());
    (!facts.schema_refs
        && functions
            .filter_map(|f| f.parameters.as_deref())
            .any(refers))
        || format.is_some_and(|schema| refers(schema))
}

fn length(content: &Content) -> usize {
    match content {
        Content::Text(text) => text.len(),
        Content::Parts(parts) => parts
            .iter()
            .filter_map(|part| part.text.as_ref())
            .map(String::len)
            .sum(),
    }
}

/// What of a body is not text.
#[derive(Default)]
struct Media {
    /// Base64 within the body.
    bytes: u64,
    images: u64,
    /// Documents, audio and video: their tokens follow from what is in them.
    unbounded: bool,
    /// The client marks what is to be cached.
    marked: bool,
}

fn media(request: &ChatRequest) -> Media {
    let mut media = Media::default();
    let on_tools = request
        .tools
        .iter()
        .flatten()
        .any(|tool| tool.cache_control.is_some());
    media.marked = on_tools
        || request
            .messages
            .iter()
            .any(|message| message.cache_control.is_some());
    for message in &request.messages {
        let Some(Content::Parts(parts)) = &message.content else {
            continue;
        };
        parts.iter().for_each(|part| media.part(part));
    }
    media
}

impl Media {
    fn part(&mut self, part: &Part) {
        self.marked |= part.cache_control.is_some()
            || part.prompt_cache_breakpoint.is_some()
            || part.cache_point.is_some();
        let data = match part.kind.as_str() {
            "image_url" => {
                self.images += 1;
                part.image_url.as_ref().map(|image| &image.url)
            }
            "video_url" => {
                self.unbounded = true;
                part.video_url.as_ref().map(|video| &video.url)
            }
            "file" => {
                self.unbounded = true;
                part.file.as_ref().and_then(|file| file.file_data.as_ref())
            }
            "input_audio" => {
                self.unbounded = true;
                part.input_audio.as_ref().map(|audio| &audio.data)
            }
            _ => None,
        };
        self.bytes += data.map_or(0, String::len) as u64;
    }
}

fn is_automatic(request: &ChatRequest, model: &Model, caller: &Caller) -> bool {
    let asked = request
        .bedrock
        .as_ref()
        .is_some_and(|own| own.cache.is_some());
    asked || caller.cache == CachePolicy::Auto || model.options.cache == CachePolicy::Auto
}

fn wants_server_tools(request: &ChatRequest) -> bool {
    request.web_search_options.is_some()
        || request
            .tools
            .iter()
            .flatten()
            .any(|tool| WEB_SEARCH.contains(&tool.kind.as_str()))
        || request
            .messages
            .iter()
            .any(|message| message.server_tool_blocks.is_some())
}

fn tier(request: &ChatRequest) -> Tier {
    let optimized = request
        .bedrock
        .as_ref()
        .is_some_and(|own| own.performance.as_deref() == Some("optimized"));
    match request.service_tier.as_deref() {
        _ if optimized => Tier::Optimized,
        Some("priority" | "fast") => Tier::Priority,
        _ => Tier::Standard,
    }
}
