//! `POST /v1/messages` and `POST /v1/messages/count_tokens`, Anthropic's Messages API,
//! <https://platform.claude.com/docs/en/api/messages>.

mod betas;
mod blocks;
mod check;
mod citations;
mod conversation;
mod count;
mod events;
mod names;
mod options;
mod parse;
mod steps;
mod tool_changes;
mod tools;
mod whole;

pub use count::MessagesCountTokens;

use axum::http::HeaderMap;

use super::{
    Dialect, Incoming, Outgoing, ParsedRequest, Policies, Recalled, ReplyContext,
    chat_completions::kb_request, chat_events::ChatEvents, paths::Paths,
};
use crate::{
    call::{Caller, Warnings},
    dispatch::Models,
    edge::{anthropic, labels, seal::Seals},
    error::Error,
    knowledge::KnowledgeBases,
    operation::chat::{Chat, ChatReply},
};

/// The members that have other names in chat completions.
const PATHS: Paths = Paths {
    members: &[
        ("stop", "stop_sequences"),
        ("user", "metadata.user_id"),
        ("max_completion_tokens", "max_tokens"),
        (
            "parallel_tool_calls",
            "tool_choice.disable_parallel_tool_use",
        ),
        ("response_format.json_schema", "output_config.format"),
        ("response_format", "output_config.format"),
        ("reasoning_effort", "output_config.effort"),
        ("reasoning", "thinking"),
        ("tool_choice.function.name", "tool_choice.name"),
        ("tool_calls", "content"),
        ("finish_reason", "stop_reason"),
        ("reply", "content"),
    ],
    parts: &[
        (".image_url.url", ".source"),
        (".image_url", ".source"),
        (".file.file_data", ".source.data"),
        (".file.filename", ".title"),
        (".file", ".source"),
        (".function.parameters", ".input_schema"),
        (".function.", "."),
        (".thinking_blocks", ".content"),
        (".server_tool_blocks", ".content"),
    ],
};

/// The dialect of Anthropic's Messages API.
pub struct Messages;

/// The parts of the request that the reply depends on.
pub struct View {
    model: String,
    fallbacks: Option<Vec<String>>,
    /// The client wants no thinking text.
    hide_thinking: bool,
    sealer: steps::Sealer,
}

/// Parses and validates the body of a request, for a key without Knowledge Bases.
///
/// # Errors
/// 400 with the invalid member, or with the byte offset of a syntax error.
pub fn messages_request(body: &[u8], warnings: &Warnings) -> Result<Chat, Error> {
    let incoming = Incoming {
        path: labels::MESSAGES,
        headers: &HeaderMap::new(),
        body,
        caller: &Caller::default(),
        knowledge_bases: &KnowledgeBases::default(),
        recalled: &Recalled::default(),
        responses: None,
        seals: &Seals::new(&[]),
        policies: Policies::default(),
        warnings,
    };
    parse::messages(&incoming).map(|parsed| parsed.chat)
}

impl Dialect for Messages {
    type Operation = Chat;
    type View = View;
    const ROUTE: &'static str = labels::MESSAGES;
    const INPUT: &'static str = "messages";
    const PATHS: Paths = PATHS;

    fn parse(request: &Incoming<'_>) -> Result<ParsedRequest<Self>, Error> {
        let parsed = parse::messages(request)?;
        let mut chat = parsed.chat;
        chat.retrieval = kb_request::take(
            parsed.kb,
            &mut chat,
            request.knowledge_bases,
            request.caller,
            request.warnings,
        )?;
        Ok(ParsedRequest {
            end_user: chat.user.clone(),
            view: View {
                model: parsed.model.clone(),
                fallbacks: parsed.fallbacks,
                hide_thinking: chat.hide_reasoning,
                sealer: steps::Sealer {
                    seals: request.seals.clone(),
                    key_id: request.caller.key_id.clone(),
                },
            },
            operation: chat,
            model: parsed.model,
        })
    }

    fn fallbacks(view: &View) -> Option<&[String]> {
        view.fallbacks.as_deref()
    }

    fn reply(reply: ChatReply, view: View, cx: ReplyContext<'_>) -> Result<Outgoing, Error> {
        let warnings = cx.trace.warnings().clone();
        let steps = steps::Steps::new(cx.model, view.hide_thinking, view.sealer, warnings);
        Ok(match reply {
            ChatReply::Whole(reply) => {
                Outgoing::Whole(whole::to_json(&view.model, reply, steps, cx)?)
            }
            ChatReply::Stream(stream) => {
                let writer = events::Writer::new(view.model, steps, cx);
                Outgoing::Events(Box::new(ChatEvents::new(stream, writer)))
            }
        })
    }

    fn error(error: &Error) -> Vec<u8> {
        anthropic::envelope(error, None)
    }

    fn error_event(error: &Error) -> Vec<u8> {
        anthropic::error_event(error, None)
    }

    fn model_name(name: String, models: &Models, caller: &Caller) -> String {
        names::resolve(name, models, caller)
    }
}
