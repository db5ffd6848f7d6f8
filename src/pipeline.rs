//! The inner stacks: what happens to a call between `dispatch` and Bedrock, outermost first.

use tower::{ServiceBuilder, util::BoxCloneSyncService};

use crate::{
    bedrock::Bedrock,
    call::{Call, ChatReply, Operation},
    error::Error,
    middleware::{Deadline, FetchMedia, Measure, step},
    openai::chat::ChatRequest,
};

/// A stack for the operation `T`. Boxed at its door: one type for every model's stack.
pub type Stack<T> = BoxCloneSyncService<Call<T>, <T as Operation>::Reply, Error>;

/// The stack of one model for chat. `label` is its name in metrics.
pub fn chat(
    label: &str,
    media: FetchMedia,
    bedrock: Bedrock,
) -> BoxCloneSyncService<Call<ChatRequest>, ChatReply, Error> {
    BoxCloneSyncService::new(
        ServiceBuilder::new()
            // Sees every refusal and every end of the steps below.
            .layer(step(Measure::new(ChatRequest::NAME, label)))
            // Bounds all that follows, up to the first token.
            .layer(step(Deadline::default()))
            // Behind whatever refuses a call: it connects to where the client says.
            .layer(step(media))
            .service(bedrock),
    )
}
