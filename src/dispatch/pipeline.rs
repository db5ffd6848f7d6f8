//! The middleware stacks that a call passes through between the edge and Bedrock, outermost first.

use tower::{Layer, Service, ServiceBuilder, util::BoxCloneSyncService};

use crate::{
    call::{Call, Unplanned},
    error::Error,
    middleware::{
        Budget, CountsInFlight, Deadline, Guard, GuardQuestion, InFlight, Measure, Media, Outcomes,
        RateLimit, Reasoning, Reply, Resolve, Retrieve, layer,
    },
    model::Model,
    operation::{Operation, chat::Chat, count::CountTokens, input_only::InputOnly},
    upstream::Upstream,
};

/// A stack for the operation `T`. Boxed, so that the stacks of all models have one type.
pub type Stack<T> = BoxCloneSyncService<Call<T, Unplanned>, Reply<T>, Error>;

/// The middlewares and services that the stacks of all models share.
#[derive(Clone)]
pub struct Shared {
    pub rate_limit: RateLimit,
    pub in_flight: InFlight,
    pub counts_in_flight: CountsInFlight,
    pub resolve: Resolve,
    pub budget: Budget,
    pub reasoning: Reasoning,
    pub retrieve: Retrieve,
    pub media: Media,
    pub guard: Guard,
    pub upstream: Upstream,
    pub outcomes: Outcomes,
}

/// Builds the stack of `model` for chats.
pub fn chat(model: &Model, shared: &Shared) -> Stack<Chat> {
    let inner = ServiceBuilder::new()
        // Before the searches, because they must not receive what the guardrail blocks.
        .layer(layer(GuardQuestion(shared.guard.clone())))
        // After the budget, because a search costs money. Outside the deadline, because it has a separate timeout.
        .layer(layer(shared.retrieve.clone()))
        // Bounds everything below, up to the first token.
        .layer(layer(Deadline::default()))
        // After everything that may reject a call, because it connects to URLs that the client chooses.
        .layer(layer(shared.media.clone()))
        // Innermost, because it judges what the model receives, with passages and media, and what the model answers.
        .layer(layer(shared.guard.clone()))
        .service(shared.upstream.clone());
    // Outermost, because the reasoning that it restores counts as input for every limit.
    let reasoning = layer(shared.reasoning.clone());
    BoxCloneSyncService::new(reasoning.layer(governed(model, shared, inner)))
}

/// Builds the stack of `model` for an operation whose reply has no text, such as embeddings.
pub fn input_only<T>(model: &Model, shared: &Shared) -> Stack<T>
where
    T: InputOnly,
    Upstream: Service<Call<T>, Response = Reply<T>, Error = Error, Future: Send>,
{
    let inner = ServiceBuilder::new()
        .layer(layer(Deadline::default()))
        // Innermost, because nothing that the model receives may bypass it.
        .layer(layer(shared.guard.clone()))
        .service(shared.upstream.clone());
    governed(model, shared, inner)
}

/// Builds the stack of `model` for an operation to which the gateway applies no guardrail: moderations, which are one, and
/// requests of AWS SDKs, which it rejects if it would have to.
pub fn unguarded<T: Operation>(model: &Model, shared: &Shared) -> Stack<T>
where
    Upstream: Service<Call<T>, Response = Reply<T>, Error = Error, Future: Send>,
{
    let inner = ServiceBuilder::new()
        .layer(layer(Deadline::default()))
        .service(shared.upstream.clone());
    governed(model, shared, inner)
}

/// Builds the stack of `model` for counting tokens, which has no budget, no ledger and no rate limit, because it costs
/// nothing.
pub fn count(model: &Model, shared: &Shared) -> Stack<CountTokens> {
    BoxCloneSyncService::new(
        ServiceBuilder::new()
            .layer(layer(Measure::new(
                CountTokens::NAME,
                model.label(),
                shared.outcomes.of(model.label()),
            )))
            .layer(layer(shared.counts_in_flight.clone()))
            .layer(shared.resolve.clone())
            .layer(layer(Deadline::default()))
            .layer(layer(shared.media.clone()))
            .service(shared.upstream.clone()),
    )
}

/// Wraps the operation-specific part of a stack, `inner`, in the middlewares that every operation passes through.
fn governed<T, S>(model: &Model, shared: &Shared, inner: S) -> Stack<T>
where
    T: Operation,
    S: Service<Call<T>, Response = Reply<T>, Error = Error> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    BoxCloneSyncService::new(
        ServiceBuilder::new()
            // Records every rejection by, and every end of, the layers below.
            .layer(layer(Measure::new(
                T::NAME,
                model.label(),
                shared.outcomes.of(model.label()),
            )))
            // The cheapest rejections first.
            .layer(layer(shared.rate_limit.clone()))
            // After the rate limit, because a permit is scarcer than a rate-limit token.
            .layer(layer(shared.in_flight.clone()))
            // After the limits, so that a caller over its limits cannot cause requests to AWS. Makes the plan.
            .layer(shared.resolve.clone())
            // Before anything that costs money. Writes to the ledger even if no budget is configured.
            .layer(layer(shared.budget.clone()))
            .service(inner),
    )
}
