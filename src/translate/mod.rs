//! OpenAI on one side, Converse on the other. Pure: no I/O, no clock, never `async`.
//!
//! Nothing is lost silently: what is dropped, clamped or emulated goes into [`Notes`].

mod messages;
mod reply;
mod sampling;
mod stream;
mod tools;
mod turns;
mod validate;

pub use reply::{finish_reason, whole_reply};
pub use stream::StreamTranslator;
pub use validate::validate;

use crate::{
    call::{DroppedParameters, Model, Notes},
    converse::request::ConverseRequest,
    error::Error,
    openai::chat::ChatRequest,
};

/// The Converse request for a chat request that [`validate`] has accepted.
///
/// # Errors
/// A 400 that names the field, where the request cannot be expressed; with `dropped_parameters = "refuse"` also where
/// a parameter would be left out.
pub fn chat_request<'a>(request: &'a ChatRequest, model: &Model, notes: &Notes) -> Result<ConverseRequest<'a>, Error> {
    let turns::Conversation { system, messages, tool_names } = messages::conversation(&request.messages, notes);
    let tool_config = tools::tool_config(request, &tool_names, notes)?;
    sampling::note_ignored(request, notes);
    let converse = ConverseRequest {
        messages,
        system,
        inference_config: sampling::inference_config(request, model, notes),
        tool_config,
        request_metadata: sampling::request_metadata(request, notes),
        service_tier: sampling::service_tier(request)?,
    };
    if model.dropped_parameters == DroppedParameters::Refuse
        && let Some((param, why)) = notes.first_dropped()
    {
        return Err(Error::invalid(
            param,
            format!("{why}. This gateway refuses what it cannot honour (dropped_parameters)."),
        )
        .with_code("unsupported_parameter"));
    }
    Ok(converse)
}
