//! `POST /v1/completions`, OpenAI's legacy API. A dialect of the chat operation, in which each prompt is a conversation of
//! one user message.

mod parse;
mod write;

use super::{
    Dialect, Incoming, Outgoing, ParsedRequest, ReplyContext,
    chat_events::{ChatEvents, LastChunk},
};
use crate::{
    call::Warnings,
    edge::labels,
    error::Error,
    operation::chat::{Chat, ChatReply},
};

/// Parses and validates the body of a completion request.
///
/// # Errors
/// 400 with the invalid field, or with the byte offset of a syntax error.
pub fn completion_request(bytes: &[u8], warnings: &Warnings) -> Result<Chat, Error> {
    parse::completion(bytes, warnings).map(|(chat, ..)| chat)
}

/// The dialect of OpenAI's legacy completions API.
pub struct Completions;

/// The parts of the request that the reply depends on.
pub struct View {
    model: String,
    last_chunk: LastChunk,
}

impl Dialect for Completions {
    type Operation = Chat;
    type View = View;
    const ROUTE: &'static str = labels::COMPLETIONS;
    const INPUT: &'static str = "prompt";

    fn parse(request: &Incoming<'_>) -> Result<ParsedRequest<Self>, Error> {
        let (chat, model, last_chunk) = parse::completion(request.body, request.warnings)?;
        let view = View {
            model: model.clone(),
            last_chunk,
        };
        Ok(ParsedRequest {
            end_user: chat.user.clone(),
            operation: chat,
            model,
            view,
        })
    }

    fn reply(reply: ChatReply, view: View, cx: ReplyContext<'_>) -> Result<Outgoing, Error> {
        let writer = write::Writer::new(
            format!("cmpl-{}", cx.id),
            cx.created,
            view,
            cx.trace.warnings().clone(),
        );
        Ok(match reply {
            ChatReply::Whole(reply) => Outgoing::Whole(writer.whole(&reply)?),
            ChatReply::Stream(stream) => {
                Outgoing::Events(Box::new(ChatEvents::new(stream, writer)))
            }
        })
    }
}
