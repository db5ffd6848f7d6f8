//! `POST /v1/chat/completions`, <https://platform.openai.com/docs/api-reference/chat/create>.

pub mod check_tools;
mod conversation;
mod events;
pub mod kb_request;
mod reasoning;
mod validate;
mod whole;

use axum::http::HeaderMap;

pub use events::ChatWriter;
pub use whole::{assistant_message, cost, kb, unwritable, usage};

use super::{
    Dialect, Incoming, Outgoing, ParsedRequest, ReplyContext,
    chat_events::{ChatEvents, LastChunk},
};
use crate::{
    call::Warnings,
    edge::{body, labels},
    error::Error,
    openai::{
        chat::ChatRequest,
        extension::{BedrockOptions, GuardrailOptions},
        knowledge_base::Kb,
    },
    operation::{
        chat::{Chat, ChatReply, MessagesOptions},
        expansion,
    },
};

/// The dialect of OpenAI's chat completions API.
pub struct ChatCompletions;

/// The parts of the request that the reply depends on.
pub struct View {
    model: String,
    fallbacks: Option<Vec<String>>,
    last_chunk: LastChunk,
    hide_reasoning: bool,
}

impl Dialect for ChatCompletions {
    type Operation = Chat;
    type View = View;
    const ROUTE: &'static str = labels::CHAT_COMPLETIONS;
    const INPUT: &'static str = "messages";

    fn parse(request: &Incoming<'_>) -> Result<ParsedRequest<Self>, Error> {
        let (options, mut chat) = parse(request.body, request.warnings)?;
        guardrail(request.headers, &mut chat.bedrock);
        chat.retrieval = kb_request::take(
            options.kb,
            &mut chat,
            request.knowledge_bases,
            request.caller,
            request.warnings,
        )?;
        Ok(ParsedRequest {
            end_user: chat.user.clone().or_else(|| chat.safety_identifier.clone()),
            view: View {
                model: options.model.clone(),
                fallbacks: options.fallbacks,
                last_chunk: options.last_chunk,
                hide_reasoning: chat.hide_reasoning,
            },
            operation: chat,
            model: options.model,
        })
    }

    fn fallbacks(view: &View) -> Option<&[String]> {
        view.fallbacks.as_deref()
    }

    fn reply(reply: ChatReply, view: View, cx: ReplyContext<'_>) -> Result<Outgoing, Error> {
        let id = format!("chatcmpl-{}", cx.id);
        Ok(match reply {
            ChatReply::Whole(mut reply) => {
                if view.hide_reasoning {
                    for choice in &mut reply.choices {
                        choice.retain(|chunk| !chunk.is_reasoning());
                    }
                }
                Outgoing::Whole(whole::to_json(&id, &view.model, reply, cx)?)
            }
            ChatReply::Stream(stream) => {
                let mut writer =
                    ChatWriter::new(&id, cx.created, &view.model, view.last_chunk.usage);
                if view.last_chunk.warnings {
                    writer.add_warnings(cx.trace.warnings().clone());
                }
                if view.hide_reasoning {
                    writer.hide_reasoning();
                }
                if let Some(retrieval) = cx.trace.retrieval() {
                    writer.add_retrieval(retrieval);
                }
                Outgoing::Events(Box::new(ChatEvents::new(stream, writer)))
            }
        })
    }
}

/// The members of the request that are not part of the operation.
struct RequestOptions {
    model: String,
    fallbacks: Option<Vec<String>>,
    kb: Option<Kb>,
    last_chunk: LastChunk,
}

/// Parses and validates the body of a chat request, except for `kb` and `file_search`.
///
/// # Errors
/// 400 with the invalid field, or with the byte offset of a syntax error.
pub fn chat_request(bytes: &[u8], warnings: &Warnings) -> Result<Chat, Error> {
    parse(bytes, warnings).map(|(_, chat)| chat)
}

fn parse(bytes: &[u8], warnings: &Warnings) -> Result<(RequestOptions, Chat), Error> {
    let request: ChatRequest = body::parse(bytes, warnings)?;
    validate::validate(&request)?;
    let last_chunk = LastChunk::of(request.stream_options.as_ref());
    let reasoning = reasoning::requested(&request)?;
    let hide_reasoning = reasoning::is_hidden(&request);
    let chat = Chat {
        has_items: false,
        messages_options: MessagesOptions::default(),
        messages: conversation::messages(request.messages, warnings),
        more: Vec::new(),
        stream: request.stream == Some(true),
        max_completion_tokens: request.max_completion_tokens,
        max_tokens: request.max_tokens,
        default_tokens: None,
        temperature: request.temperature,
        top_p: request.top_p,
        stop: request.stop,
        n: request.n,
        tools: request.tools,
        tool_choice: request.tool_choice,
        parallel_tool_calls: request.parallel_tool_calls,
        frequency_penalty: request.frequency_penalty,
        presence_penalty: request.presence_penalty,
        seed: request.seed,
        logprobs: (request.logprobs == Some(true)).then(|| request.top_logprobs.unwrap_or(0)),
        hides_user: false,
        wants_stop_details: false,
        changes_tools: false,
        counts: false,
        user: request.user,
        safety_identifier: request.safety_identifier,
        metadata: request.metadata,
        store: request.store,
        service_tier: request.service_tier,
        response_format: request.response_format,
        reasoning,
        hide_reasoning,
        verbosity: request.verbosity,
        prompt_cache_key: request.prompt_cache_key,
        prompt_cache_retention: request.prompt_cache_retention,
        prediction: request.prediction,
        web_search_options: request.web_search_options,
        functions: request.functions,
        function_call: request.function_call,
        top_k: request.top_k,
        prompt_cache_options: request.prompt_cache_options,
        cache_control: request.cache_control,
        bedrock: request.bedrock,
        max_cost: body::max_cost(request.max_cost_usd.as_deref())?,
        retrieval: None,
        bytes: bytes.len(),
        expansion: expansion::of_body(bytes),
        fetched: Default::default(),
        judged: None,
    };
    Ok((
        RequestOptions {
            model: request.model,
            fallbacks: request.models,
            kb: request.kb,
            last_chunk,
        },
        chat,
    ))
}

/// Applies the guardrail headers of InvokeModel, for clients that cannot add members to the body. A guardrail in the body
/// takes precedence.
pub fn guardrail(headers: &HeaderMap, bedrock: &mut Option<BedrockOptions>) {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let (Some(identifier), Some(version)) = (
        text("x-amzn-bedrock-guardrailidentifier"),
        text("x-amzn-bedrock-guardrailversion"),
    ) else {
        return;
    };
    let trace = text("x-amzn-bedrock-trace").map(|trace| trace.to_ascii_lowercase());
    let own = bedrock.get_or_insert_default();
    own.guardrail.get_or_insert_with(|| GuardrailOptions {
        identifier,
        version,
        trace,
        ..GuardrailOptions::default()
    });
}
