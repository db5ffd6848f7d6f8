//! Chooses the route of a chat.

use std::borrow::Cow;

use crate::{
    call::Route,
    error::Error,
    model::{Api, Model, Native},
    operation::not_served,
};

/// Returns the route of a chat to `model`.
///
/// # Errors
/// 404 if no route serves chats on the model.
pub fn of(model: &Model) -> Result<Route, Error> {
    let facts = &model.facts;
    if facts.modality != "chat" {
        let what = facts.modality.replace('_', " ");
        return Err(not_served(format!(
            "This model is for {what}; it does not support chat."
        )));
    }
    match model.options.api {
        Api::Chat if native(model).is_some_and(|native| native.runtime) => Ok(Route::Chat),
        Api::Mantle if native(model).is_some_and(|native| native.mantle) => Ok(Route::MantleChat),
        Api::Chat => Err(not_served(
            "The chat completions endpoint of bedrock-runtime does not serve this model.",
        )),
        Api::Mantle => Err(not_served(
            "The chat completions endpoint of bedrock-mantle does not serve this model.",
        )),
        Api::Invoke if facts.invoke_model && facts.invoke.is_some() => Ok(Route::Invoke),
        Api::Invoke => Err(not_served(
            "This gateway cannot send chats to this model through InvokeModel.",
        )),
        Api::Converse | Api::Auto if facts.converse => Ok(Route::Converse),
        Api::Auto if facts.invoke_model && facts.invoke.is_some() => Ok(Route::Invoke),
        Api::Converse | Api::Auto if facts.invoke_model => Err(not_served(
            "The Converse API of Bedrock does not support this model.",
        )),
        Api::Converse | Api::Auto => Err(not_served(
            "This model is only available through the bedrock-mantle endpoint, which this gateway does not support.",
        )),
    }
}

/// Returns the facts of the model about the OpenAI-compatible endpoints. A model that is not in the catalogue may be
/// served there.
fn native(model: &Model) -> Option<Cow<'_, Native>> {
    match &model.facts.native {
        Some(native) => Some(Cow::Borrowed(native)),
        None => model.base.is_none().then(Cow::default),
    }
}
