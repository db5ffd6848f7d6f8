//! The inner stacks: what happens to a call between the door and Bedrock, outermost first.

use tower::{Layer, Service, ServiceBuilder, util::BoxCloneSyncService};

use crate::{
    call::{Call, Unplanned},
    error::Error,
    middleware::{
        Budget, Deadline, InFlight, Measure, Media, RateLimit, Reasoning, Reply, Resolve, Retrieve,
        layer,
    },
    model::Model,
    operation::{Operation, chat::Chat, embed::Embed},
    upstream::Upstream,
};

/// A stack for the operation `T`. Boxed at its door: one type for every model's stack.
pub type Stack<T> = BoxCloneSyncService<Call<T, Unplanned>, Reply<T>, Error>;

/// What the stacks of all models have in common.
#[derive(Clone)]
pub struct Shared {
    pub rate_limit: RateLimit,
    pub in_flight: InFlight,
    pub resolve: Resolve,
    pub budget: Budget,
    pub reasoning: Reasoning,
    pub retrieve: Retrieve,
    pub media: Media,
    pub upstream: Upstream,
}

/// The stack of `model` for chats.
pub fn chat(model: &Model, shared: &Shared) -> Stack<Chat> {
    let own = ServiceBuilder::new()
        // Costs money, and only for a caller within its budget. Has a timeout of its own.
        .layer(layer(shared.retrieve.clone()))
        // Bounds all that follows, up to the first token.
        .layer(layer(Deadline::default()))
        // After whatever may reject a call: it connects to where the client says.
        .layer(layer(shared.media.clone()))
        .service(shared.upstream.clone());
    // Outermost, because what it puts back is input for every limit.
    let reasoning = layer(shared.reasoning.clone());
    BoxCloneSyncService::new(reasoning.layer(governed(model, shared, own)))
}

/// The stack of `model` for embeddings.
pub fn embed(model: &Model, shared: &Shared) -> Stack<Embed> {
    let own = ServiceBuilder::new()
        .layer(layer(Deadline::default()))
        .service(shared.upstream.clone());
    governed(model, shared, own)
}

/// What every operation passes, whatever follows.
fn governed<T, S>(model: &Model, shared: &Shared, own: S) -> Stack<T>
where
    T: Operation,
    S: Service<Call<T>, Response = Reply<T>, Error = Error> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    BoxCloneSyncService::new(
        ServiceBuilder::new()
            // Sees every refusal and every end of what follows.
            .layer(layer(Measure::new(T::NAME, model.label())))
            // Cheap refusals first.
            .layer(layer(shared.rate_limit.clone()))
            // After the rates, because a permit is worth more than a token.
            .layer(layer(shared.in_flight.clone()))
            // A caller over its limits must not make the gateway ask AWS. Makes the plan.
            .layer(shared.resolve.clone())
            // Before anything that costs money. Writes the ledger, also without a budget.
            .layer(layer(shared.budget.clone()))
            .service(own),
    )
}
