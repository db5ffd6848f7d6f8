//! Chooses the route of a chat.

use crate::{
    call::Route,
    error::Error,
    model::{Api, Model},
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
