use std::sync::Arc;

use tower::Service;

use super::Around;
use crate::{
    bedrock::{Bedrock, Descriptions},
    call::{Call, ChatReply, Facts, Model, Target},
    catalogue,
    error::Error,
    openai::chat::ChatRequest,
    translate,
};

/// Completes what is known of a call before budgets look at it. A model behind an ARN that does not tell gets
/// the facts and the price of its base model, where AWS says which it is; reasoning that will be put back is input too.
#[derive(Clone)]
pub struct Describe {
    pub models: Descriptions,
    pub bedrock: Bedrock,
}

impl Around<ChatRequest> for Describe {
    async fn around<S>(&self, mut call: Call<ChatRequest>, mut next: S) -> Result<ChatReply, Error>
    where
        S: Service<Call<ChatRequest>, Response = ChatReply, Error = Error, Future: Send> + Send,
    {
        if call.model.base.is_none()
            && let Some(base) = self.models.base(&call.model.target).await
        {
            let target = Target {
                id: base.clone(),
                region: call.model.target.region.clone(),
            };
            let known = catalogue::lookup(&target);
            let own = &call.model;
            // What the operator says goes before what AWS says.
            let facts = if *own.facts == Facts::default() {
                known.facts
            } else {
                own.facts.clone()
            };
            let model = Model {
                base: known.base.map(str::to_owned),
                facts,
                price: own.price.clone().or(known.price),
                ..Model::clone(own)
            };
            call.worst = translate::worst_case(
                &call.body,
                call.body_bytes,
                &model,
                &call.caller,
                call.question.as_deref(),
            );
            call.model = Arc::new(model);
        }
        call.worst.input_tokens += self.bedrock.recalled_bytes(&call);
        next.call(call).await
    }
}
