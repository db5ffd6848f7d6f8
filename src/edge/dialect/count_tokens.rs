//! `POST /v1/count_tokens`, an extension: the body of a chat completion request, of which the input tokens are counted.

use serde::Serialize;

use super::{
    ChatCompletions, Dialect, Incoming, Outgoing, ParsedRequest, ReplyContext, chat_completions,
};
use crate::{
    edge::labels,
    error::Error,
    operation::count::{CountTokens as Operation, TokenCount},
};

/// The dialect of the extension that counts tokens.
pub struct CountTokens;

/// The reply.
#[derive(Serialize)]
struct Body {
    object: &'static str,
    model: String,
    input_tokens: u64,
    source: &'static str,
}

impl Dialect for CountTokens {
    type Operation = Operation;
    /// The name of the model, as the client wrote it.
    type View = String;
    const ROUTE: &'static str = labels::COUNT_TOKENS;
    const INPUT: &'static str = "messages";

    fn parse(request: &Incoming<'_>) -> Result<ParsedRequest<Self>, Error> {
        let ParsedRequest {
            operation: mut chat,
            model,
            end_user,
            ..
        } = ChatCompletions::parse(request)?;
        if chat.retrieval.take().is_some() {
            let text = "kb: its passages are not counted (counting tokens makes no search)";
            request.warnings.add(text);
        }
        // The tokens of one request are counted.
        chat.n = None;
        (chat.stream, chat.counts) = (false, true);
        Ok(ParsedRequest {
            operation: Operation { chat },
            view: model.clone(),
            model,
            end_user,
        })
    }

    fn reply(reply: TokenCount, model: String, _: ReplyContext<'_>) -> Result<Outgoing, Error> {
        let body = Body {
            object: "token_count",
            model,
            input_tokens: reply.input_tokens,
            source: reply.source.as_str(),
        };
        serde_json::to_vec(&body)
            .map(Outgoing::Whole)
            .map_err(chat_completions::unwritable)
    }
}
