//! `POST /v1/messages/count_tokens`: the body of a message request, of which the input tokens are counted.

use super::{
    super::{
        Dialect, Incoming, Outgoing, ParsedRequest, ReplyContext, chat_completions::unwritable,
        paths::Paths,
    },
    names, parse,
};
use crate::{
    anthropic::reply,
    call::Caller,
    dispatch::Models,
    edge::{anthropic, labels},
    error::Error,
    operation::count::{CountTokens, TokenCount},
};

/// The dialect of Anthropic's token counting API.
pub struct MessagesCountTokens;

impl Dialect for MessagesCountTokens {
    type Operation = CountTokens;
    type View = ();
    const ROUTE: &'static str = labels::MESSAGES_COUNT_TOKENS;
    const INPUT: &'static str = "messages";
    const PATHS: Paths = super::PATHS;

    fn parse(request: &Incoming<'_>) -> Result<ParsedRequest<Self>, Error> {
        let parsed = parse::count(request)?;
        if parsed.kb.is_some() {
            let text = "kb: its passages are not counted (counting tokens makes no search)";
            request.warnings.add(text);
        }
        Ok(ParsedRequest {
            end_user: parsed.chat.user.clone(),
            view: (),
            model: parsed.model,
            operation: CountTokens { chat: parsed.chat },
        })
    }

    fn reply(count: TokenCount, (): (), _: ReplyContext<'_>) -> Result<Outgoing, Error> {
        let body = reply::TokenCount {
            input_tokens: count.input_tokens,
        };
        serde_json::to_vec(&body)
            .map(Outgoing::Whole)
            .map_err(unwritable)
    }

    fn error(error: &Error) -> Vec<u8> {
        anthropic::envelope(error, None)
    }

    fn model_name(name: String, models: &Models, caller: &Caller) -> String {
        names::resolve(name, models, caller)
    }
}
