//! The most that a chat can cost: the amount that budgets reserve before it is sent.

mod invoke;
mod schemas;

use std::sync::Arc;

use super::{
    Amount, Chat, MAX_BUDGET, MIN_BUDGET, Message, Part, ToolInput, VISIBLE, WEB_SEARCH, guard,
    nearest_effort,
};
use crate::{
    call::{Caller, RetrievalRequest, Route},
    model::{AUTO_LEAST, DefaultMaxTokens, Facts, Model, ReasoningStyle},
    money::{Price, WorstCase},
    openai::{chat::Tool, tool_choice::ToolChoice},
    operation::guarded,
};

/// The tokens that a family's template adds to a conversation without tools. This and the next three are more than any
/// family was observed to add.
pub const TEMPLATE: u64 = 200;

/// The tokens that a family's template adds to a conversation with tools.
pub const TOOLS_TEMPLATE: u64 = 1000;

/// The tokens that a family's template adds to a message.
pub const MESSAGE: u64 = 32;

/// The tokens that a family's template adds to a tool.
pub const TOOL: u64 = 64;

/// The smallest `max_output_tokens` that OpenAI's Responses accept.
const RESPONSES_MIN_OUTPUT: u32 = 16;

/// The tokens that families typically count for one image.
pub const LIKELY_IMAGE: u64 = 1500;

/// The longest video that a model accepts that bills it by its length, in seconds. Source: Bedrock user guide, TwelveLabs
/// Pegasus, 2026-11.
pub const MAX_VIDEO_SECONDS: u64 = 3600;

/// The longest context window of any model on Bedrock, in tokens.
const LONG_WINDOW: u64 = 1_000_000;

/// The bound for a model with an unknown context window, in tokens.
pub const UNKNOWN: u64 = 131_072;

/// Returns the worst case of a chat. Counts one token per byte of text, because a token is at least one byte. Passages
/// of Knowledge Bases count as much as their limits allow.
pub fn worst_case(chat: &Chat, model: &Model, caller: &Caller, route: Route) -> WorstCase {
    let facts = &model.facts;
    let retrieval = chat.retrieval.as_deref();
    let media = media(chat);
    let own = (chat.bytes as u64).saturating_sub(media.bytes);
    let text = own + chat.expansion as u64 + retrieval.map_or(0, RetrievalRequest::max_bytes);
    let tools =
        chat.tools.as_ref().map_or(0, Vec::len) + chat.functions.as_ref().map_or(0, Vec::len);
    let template = if tools > 0 { TOOLS_TEMPLATE } else { TEMPLATE };
    let messages = chat.conversations().map(Vec::len).max().unwrap_or_default() as u64;
    let overhead = template
        + MESSAGE * messages
        + TOOL * tools as u64
        + added(chat, facts)
        + invoke::added(chat, model, caller, route);
    // Media whose size does not bound its tokens can fill the context window, and so can a schema whose references the
    // gateway must resolve.
    let has_fields = chat
        .bedrock
        .as_ref()
        .is_some_and(|own| own.additional_model_request_fields.is_some());
    let window = window(model, has_fields);
    let passages = retrieval
        .filter(|_| facts.image)
        .map_or(0, |retrieval| u64::from(retrieval.max_images));
    let known = text + overhead + (media.images + passages) * facts.image_tokens;
    let server_tools = facts.web_search.is_some() && wants_server_tools(chat);
    // A managed prompt brings its own text and limits.
    let prompt = model.target().is_prompt();
    let is_unbounded = media.unbounded
        || prompt
        // The results of a search become input of the same request.
        || server_tools
        || schemas::resolves_references(chat, facts);
    let input = match is_unbounded {
        true => window
            .unwrap_or(UNKNOWN)
            .max(known.min(window.unwrap_or(u64::MAX))),
        false => known.min(window.unwrap_or(u64::MAX)),
    };
    let repairs = chat.wants_json() && model.options.repair_json;
    let output = if prompt {
        all_output(facts)
    } else {
        output_tokens(chat, model, route.is_responses())
    };
    let images = media.images + passages;
    let guardrail = guard::most(chat, model, caller, images);
    // What the guardrail in the call evaluates: the second request of a repair contains the first answer.
    let evaluated = match (prompt, repairs) {
        (true, _) => guarded::answer_chars(input),
        (false, true) => text + added(chat, facts) + guarded::answer_chars(output),
        (false, false) => text + added(chat, facts),
    };
    WorstCase {
        // The second request of a repair also contains the first answer.
        input_tokens: if repairs {
            input + output + TEMPLATE
        } else {
            input
        },
        output_tokens: output,
        requests: chat.choices().saturating_mul(if repairs { 2 } else { 1 }),
        // A family without cache points may cache by itself, and bills what it writes.
        may_cache: facts.cache.is_none()
            || media.marked
            || chat.caches_automatically(model, caller),
        tier: chat.tier(),
        server_tools,
        video_seconds: match &facts.invoke {
            Some(invoke) if invoke.family.bills_video() => MAX_VIDEO_SECONDS * media.videos,
            _ => 0,
        },
        guardrail: guard::in_call(chat, model, caller, evaluated, images),
        fees: retrieval
            .and_then(RetrievalRequest::max_fees)
            .unwrap_or_default()
            + guardrail.fixed,
        output_fees: guardrail.per_output_token,
        unpriced_fees: retrieval.is_some_and(|retrieval| retrieval.max_fees().is_none()),
        ..WorstCase::default()
    }
}

/// Estimates the tokens that the chat needs: the input at four bytes per token, and the most output. An automatic limit is
/// far more than most answers need.
pub fn likely_tokens(chat: &Chat, model: &Model) -> u64 {
    let most = output_tokens(chat, model, false);
    let output = match model.defaults.max_tokens {
        DefaultMaxTokens::Auto if chat.requested_tokens().is_none() => {
            most.min(u64::from(AUTO_LEAST))
        }
        _ => most,
    };
    tokens_with(chat, output)
}

/// The same with the limit of the output that is sent, which AWS takes from its quota.
pub fn admitted_tokens(chat: &Chat, model: &Model) -> u64 {
    tokens_with(chat, output_tokens(chat, model, false))
}

/// Estimates the tokens of the chat if each answer has `output`.
fn tokens_with(chat: &Chat, output: u64) -> u64 {
    let media = media(chat);
    let own = (chat.bytes as u64).saturating_sub(media.bytes);
    let passages = chat
        .retrieval
        .as_deref()
        .map_or(0, RetrievalRequest::likely_bytes);
    let input = (own + passages) / 4 + media.images * LIKELY_IMAGE;
    input
        .saturating_add(output)
        .saturating_mul(u64::from(chat.choices().max(1)))
}

/// Returns the largest context window that a request can use, in tokens, if known. A beta header can enable a longer
/// one than the catalogue's, if the request `has_fields` in the model's own form.
pub fn window(model: &Model, has_fields: bool) -> Option<u64> {
    let is_priced = |price: &Arc<Price>| !price.long_context.is_empty();
    let longer = model.price.as_ref().is_some_and(is_priced) || has_fields;
    let window = model.facts.context_window?;
    Some(if longer {
        window.max(LONG_WINDOW)
    } else {
        window
    })
}

/// The smallest limit of the output that is sent, in tokens. Responses have a minimum of their own.
pub fn least_output(facts: &Facts, is_responses: bool) -> u32 {
    match is_responses {
        true => facts.min_output_tokens.max(RESPONSES_MIN_OUTPUT),
        false => facts.min_output_tokens,
    }
}

/// The most output of a model, in tokens.
pub fn all_output(facts: &Facts) -> u64 {
    facts
        .max_output_tokens
        .map_or_else(|| facts.context_window.unwrap_or(UNKNOWN), u64::from)
}

/// The default limit of the output, in tokens. Does not depend on what changes after the plan, so that no more is sent than
/// was reserved.
pub fn default_tokens(chat: &Chat, model: &Model) -> u32 {
    let media = media(chat);
    let own = (chat.bytes as u64).saturating_sub(media.bytes);
    model.default_max_tokens_beside(own, media.images * LIKELY_IMAGE)
}

/// The largest `maxTokens` that the codec can send or, if it must not send one, the most output of the model.
fn output_tokens(chat: &Chat, model: &Model, is_responses: bool) -> u64 {
    let most = model.facts.max_output_tokens.unwrap_or(u32::MAX);
    let requested = chat.requested_tokens();
    let plain = requested
        .unwrap_or_else(|| chat.default_tokens(model))
        .min(most)
        .max(least_output(&model.facts, is_responses));
    let amount = chat.reasoning.map(|reasoning| reasoning.amount);
    let amount = amount.filter(|amount| !amount.is_none());
    let reasoning = &model.facts.reasoning;
    // At the effort `high`, Nova accepts no `maxTokens`.
    let is_unlimited =
        |amount: Amount| nearest_effort(amount.as_effort(), &reasoning.efforts) == "high";
    let tokens = match (reasoning.style, amount) {
        (ReasoningStyle::Budget, Some(amount)) => {
            let budget = match amount {
                Amount::Budget(tokens) => tokens.max(MIN_BUDGET),
                Amount::Default | Amount::Effort(_) => MAX_BUDGET,
            };
            let visible = requested.unwrap_or(VISIBLE);
            plain.max(visible.saturating_add(budget)).min(most)
        }
        (ReasoningStyle::ReasoningConfig, Some(amount)) if is_unlimited(amount) => most,
        _ => plain,
    };
    match tokens {
        u32::MAX => all_output(&model.facts),
        tokens => u64::from(tokens),
    }
}

/// The most bytes that translation adds to the text: schemas are repeated or rewritten, tools are rebuilt from the calls of
/// a history, and guarded tool results are sent twice.
fn added(chat: &Chat, facts: &Facts) -> u64 {
    let schemas = schemas::added(chat, facts) + rebuilt(chat);
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
    schemas + guarded as u64
}

/// The most bytes and template of tools that are rebuilt from the calls in a history: their names, and the names of their
/// arguments.
fn rebuilt(chat: &Chat) -> u64 {
    // The service's own tools and a list of allowed ones may leave none to send.
    let own = |tool: &Tool| tool.function.is_some() || tool.custom.is_some();
    let choices = [&chat.tool_choice, &chat.function_call];
    let may_drop = choices
        .iter()
        .any(|choice| matches!(choice, Some(ToolChoice::Allowed { .. })));
    let declares = !may_drop
        && (chat.tools.iter().flatten().any(own)
            || chat.functions.iter().flatten().next().is_some());
    if declares {
        return 0;
    }
    let calls = chat.conversations().flatten().flat_map(Message::tool_uses);
    let bytes = calls.map(|call| {
        let arguments = match &call.input {
            ToolInput::Arguments(arguments) => arguments.len(),
            ToolInput::Text(_) => 0,
        };
        // The name serves as a description too. A member without a value takes a few bytes more than its name.
        2 * (call.name.len() + arguments) as u64 + TOOL
    });
    let bytes: u64 = bytes.sum();
    bytes + TOOLS_TEMPLATE * u64::from(bytes > 0)
}

/// The bytes of text in a tool result; 0 for other parts.
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

/// The media in a request.
#[derive(Default)]
struct MediaSize {
    /// The bytes of Base64 in the body.
    bytes: u64,
    /// The number of images.
    images: u64,
    /// The number of videos.
    videos: u64,
    /// There are documents, audio or video, whose size does not bound their tokens.
    unbounded: bool,
    /// The client sets `cache_control`.
    marked: bool,
}

/// Reports whether the client marks what to cache.
pub fn marks_cache(chat: &Chat) -> bool {
    media(chat).marked
}

fn media(chat: &Chat) -> MediaSize {
    let tools = chat.tools.iter().flatten();
    let functions = tools.clone().filter_map(|tool| tool.function.as_ref());
    let on_tools = tools.clone().any(|tool| tool.cache_control.is_some())
        || functions
            .chain(chat.functions.iter().flatten())
            .any(|function| function.cache_control.is_some());
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
                self.videos += 1;
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

/// Reports whether the request lets the model use tools that AWS runs, or contains their results.
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
