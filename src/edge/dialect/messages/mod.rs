//! `POST /v1/messages` and `POST /v1/messages/count_tokens`, Anthropic's Messages API,
//! <https://platform.claude.com/docs/en/api/messages>.

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
mod tools;
mod whole;

pub use count::MessagesCountTokens;

use axum::http::HeaderMap;

use super::{
    Dialect, Incoming, Outgoing, ParsedRequest, ReplyContext, chat_completions::kb_request,
    chat_events::ChatEvents,
};
use crate::{
    call::{Caller, Warnings},
    dispatch::Models,
    edge::{anthropic, labels, seal::Seals},
    error::Error,
    knowledge::KnowledgeBases,
    operation::chat::{Chat, ChatReply},
};

/// The dialect of Anthropic's Messages API.
pub struct Messages;

/// The parts of the request that the reply depends on.
pub struct View {
    model: String,
    /// The client wants no thinking text.
    hide_thinking: bool,
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
        seals: &Seals::new(&[]),
        warnings,
    };
    parse::messages(&incoming).map(|parsed| parsed.chat)
}

impl Dialect for Messages {
    type Operation = Chat;
    type View = View;
    const ROUTE: &'static str = labels::MESSAGES;
    const INPUT: &'static str = "messages";

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
                hide_thinking: chat.hide_reasoning,
            },
            operation: chat,
            model: parsed.model,
        })
    }

    fn reply(reply: ChatReply, view: View, cx: ReplyContext<'_>) -> Result<Outgoing, Error> {
        let steps = steps::Steps::new(cx.model, view.hide_thinking);
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
