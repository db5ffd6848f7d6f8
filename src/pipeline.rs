//! The inner stacks: what happens to a call between `dispatch` and Bedrock, outermost first.

use tower::{ServiceBuilder, util::BoxCloneSyncService};

use crate::{
    bedrock::Bedrock,
    call::{Call, ChatReply, Operation},
    error::Error,
    middleware::{
        Budget, Deadline, Describe, FetchMedia, InFlight, Measure, RateLimit, Retrieve, step,
    },
    openai::chat::ChatRequest,
};

/// A stack for the operation `T`. Boxed at its door: one type for every model's stack.
pub type Stack<T> = BoxCloneSyncService<Call<T>, <T as Operation>::Reply, Error>;

/// What the stacks of all models have in common.
#[derive(Clone)]
pub struct Shared {
    pub rate_limit: RateLimit,
    pub in_flight: InFlight,
    pub budget: Budget,
    pub describe: Describe,
    pub retrieve: Retrieve,
    pub media: FetchMedia,
    pub bedrock: Bedrock,
}

/// The stack of one model for chat. `label` is its name in metrics.
pub fn chat(
    label: &str,
    shared: &Shared,
) -> BoxCloneSyncService<Call<ChatRequest>, ChatReply, Error> {
    let Shared {
        rate_limit,
        in_flight,
        budget,
        describe,
        retrieve,
        media,
        bedrock,
    } = shared.clone();
    BoxCloneSyncService::new(
        ServiceBuilder::new()
            // Sees every refusal and every end of the steps below.
            .layer(step(Measure::new(ChatRequest::NAME, label)))
            // Cheap refusals first.
            .layer(step(rate_limit))
            // Behind the rates, because a permit is worth more than a token.
            .layer(step(in_flight))
            // Budgets want to know what the model is and costs; who is over a limit may not make us ask AWS.
            .layer(step(describe))
            // Before anything that costs. Writes the ledger, also for calls without a budget.
            .layer(step(budget))
            // Costs, and only for a caller who is known to be good. Has a time-out of its own.
            .layer(step(retrieve))
            // Bounds all that follows, up to the first token.
            .layer(step(Deadline::default()))
            // Behind whatever refuses a call: it connects to where the client says.
            .layer(step(media))
            .service(bedrock),
    )
}
