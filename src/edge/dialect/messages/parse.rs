//! Parses a request into a chat.

use axum::http::HeaderMap;

use super::{
    betas, blocks::Opener, check, conversation, options, tool_changes::ToolChanges, tools,
};
use crate::{
    anthropic::request::MessagesRequest,
    call::Warnings,
    edge::{
        body,
        dialect::{Incoming, chat_completions::guardrail},
    },
    error::Error,
    openai::{
        knowledge_base::{Kb, KbOptions, Names},
        stop::Stop,
    },
    operation::{chat::Chat, expansion},
};

/// The header that names Knowledge Bases, for clients that cannot add members to the body.
const KB_HEADER: &str = "x-lintel-kb";

/// A parsed request.
pub struct Parsed {
    /// The name of the model, as the client wrote it.
    pub model: String,
    /// The models to call if that one fails.
    pub fallbacks: Option<Vec<String>>,
    /// Retrieval options, which are not validated yet.
    pub kb: Option<Kb>,
    pub chat: Chat,
}

/// Parses and validates the request of a message.
///
/// # Errors
/// 400 with the invalid member, or with the byte offset of a syntax error.
pub fn messages(request: &Incoming<'_>) -> Result<Parsed, Error> {
    let body: MessagesRequest = body::parse(request.body, request.warnings)?;
    check::max_tokens(&body, request.headers)?;
    parsed(body, request)
}

/// Parses and validates a request to count the tokens of a message, which needs no `max_tokens`.
///
/// # Errors
/// As [`messages`].
pub fn count(request: &Incoming<'_>) -> Result<Parsed, Error> {
    let body: MessagesRequest = body::parse(request.body, request.warnings)?;
    let mut parsed = parsed(body, request)?;
    (parsed.chat.stream, parsed.chat.counts) = (false, true);
    Ok(parsed)
}

fn parsed(mut body: MessagesRequest, request: &Incoming<'_>) -> Result<Parsed, Error> {
    let (headers, warnings): (&HeaderMap, &Warnings) = (request.headers, request.warnings);
    check::check(&body)?;
    let mut messages_options = betas::take(&mut body, headers, warnings);
    let effort = options::effort(&body);
    let output = body.output_config.unwrap_or_default();
    if output.task_budget.is_some() {
        warnings.dropped(
            "output_config.task_budget",
            "Converse has no such parameter",
        );
    }
    let format = output.format.or(body.output_format);
    let mut changes = ToolChanges::take(&mut body.messages, warnings)?;
    let declared = body.tools.unwrap_or_default();
    let offered = changes.offered(declared, warnings)?;
    let tools = tools::tools(
        offered,
        &changes,
        &body.messages,
        &mut messages_options,
        request,
    )?;
    let (tool_choice, parallel) = tools::choice(body.tool_choice, &tools)?;
    let mut opener = Opener {
        seals: request.seals,
        key_id: &request.caller.key_id,
        policies: request.policies,
        warnings,
        opened: Vec::new(),
    };
    let messages = conversation::messages(body.system, body.messages, &mut opener)?;
    let mut bedrock = body.bedrock;
    guardrail(headers, &mut bedrock);
    let chat = Chat {
        stream: body.stream == Some(true),
        max_tokens: body.max_tokens,
        temperature: body.temperature,
        top_p: body.top_p,
        top_k: body.top_k,
        stop: body
            .stop_sequences
            .filter(|stops| !stops.is_empty())
            .map(Stop),
        tool_choice,
        parallel_tool_calls: parallel,
        tools: (!tools.is_empty()).then_some(tools),
        user: body.metadata.and_then(|metadata| metadata.user_id),
        hides_user: true,
        wants_stop_details: true,
        changes_tools: changes.is_any(),
        service_tier: options::service_tier(body.service_tier),
        response_format: options::response_format(format)?,
        reasoning: options::reasoning(body.thinking.as_ref(), effort.as_deref(), warnings)?,
        hide_reasoning: options::hides_thinking(body.thinking.as_ref()),
        cache_control: body.cache_control,
        messages_options,
        bedrock,
        max_cost: body::max_cost(body.max_cost_usd.as_deref())?,
        messages,
        bytes: request.body.len(),
        expansion: expansion::of_body(request.body) + expansion::of_body(&opener.opened),
        ..Chat::default()
    };
    Ok(Parsed {
        model: body.model,
        fallbacks: body.models,
        kb: body.kb.or_else(|| kb(headers)),
        chat,
    })
}

/// Returns the Knowledge Bases of the header: one name, or several with commas between them.
fn kb(headers: &HeaderMap) -> Option<Kb> {
    let text = headers.get(KB_HEADER)?.to_str().ok()?;
    let names = text.split(',').map(|name| name.trim().to_owned());
    let names: Vec<String> = names.filter(|name| !name.is_empty()).collect();
    let name = match <[String; 1]>::try_from(names) {
        Ok([name]) => Names::One(name),
        Err(names) => Names::Many(names),
    };
    Some(Kb(KbOptions {
        name,
        ..KbOptions::default()
    }))
}
