use bytes::Bytes;

use super::{Context, Extras, chat_request};
use crate::{
    bedrock::count_tokens::{CountTokensInput, CountTokensRequest},
    call::Call,
    error::{Error, Kind},
    operation::count::CountTokens,
    upstream::{Codec, Request, ServiceOperation},
};

/// The codec that has Bedrock count the tokens of a Converse request. A model that Bedrock does not count for gets no
/// request.
pub struct Count;

impl Codec<CountTokens> for Count {
    fn encode(&self, call: &Call<CountTokens>) -> Result<Vec<(Request, ())>, Error> {
        if !call.model.facts.count_tokens || call.model.base.is_none() {
            return Ok(Vec::new());
        }
        let cx = Context {
            model: &call.model,
            caller: &call.caller,
            warnings: call.trace.warnings(),
            messages: &call.body.chat.messages,
            extras: Extras::default(),
        };
        let request = chat_request(&call.body.chat, &cx)?.request;
        let input = CountTokensInput::Converse(request.into());
        let body = serde_json::to_vec(&CountTokensRequest { input });
        let body = body.map(Bytes::from).map_err(|error| {
            let text = "The gateway could not serialize the request to Bedrock.";
            Error::new(Kind::Internal, text).with_detail(error.to_string())
        })?;
        let request = Request {
            operation: ServiceOperation::CountTokens,
            headers: Vec::new(),
            body,
        };
        Ok(vec![(request, ())])
    }
}
