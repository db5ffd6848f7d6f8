//! `POST /v1/responses/input_tokens`: the input tokens of a response, without the response.

use bytes::Bytes;
use serde::Serialize;

use super::{parse, stored};
use crate::{
    edge::{
        dialect::{
            Dialect, Incoming, Outgoing, ParsedRequest, RecallContext, Recalled, ReplyContext,
            chat_completions, paths::Paths,
        },
        labels,
    },
    error::Error,
    operation::count::{CountTokens, TokenCount},
};

/// The dialect that counts the input of a response.
pub struct InputTokens;

/// The reply.
#[derive(Serialize)]
struct Body {
    object: &'static str,
    input_tokens: u64,
}

impl Dialect for InputTokens {
    type Operation = CountTokens;
    type View = ();
    const ROUTE: &'static str = labels::INPUT_TOKENS;
    const INPUT: &'static str = "input";
    const PATHS: Paths = super::PATHS;

    async fn recall(body: Bytes, cx: RecallContext<'_>) -> Result<(Bytes, Recalled), Error> {
        stored::recall(body, cx).await
    }

    fn parse(request: &Incoming<'_>) -> Result<ParsedRequest<Self>, Error> {
        let parsed = parse::request(request, false)?;
        let mut chat = parsed.chat;
        if chat.retrieval.take().is_some() {
            let text = "kb: its passages are not counted (counting tokens makes no search)";
            request.warnings.add(text);
        }
        (chat.stream, chat.counts) = (false, true);
        Ok(ParsedRequest {
            operation: CountTokens { chat },
            model: parsed.view.model,
            end_user: parsed.end_user,
            view: (),
        })
    }

    fn reply(reply: TokenCount, (): (), _: ReplyContext<'_>) -> Result<Outgoing, Error> {
        let body = Body {
            object: "response.input_tokens",
            input_tokens: reply.input_tokens,
        };
        serde_json::to_vec(&body)
            .map(Outgoing::Whole)
            .map_err(chat_completions::unwritable)
    }
}
