//! Chooses the route of a chat.

use crate::{
    call::Route,
    error::Error,
    model::{Api, Model},
    operation::not_served,
};

/// The routes on which this version sends chats: those for which `Chat` has a codec. The planner chooses no other.
pub const BUILT: &[Route] = &[Route::Converse];

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
        Api::Invoke | Api::Chat | Api::Mantle => Err(not_served(
            "This version of the gateway does not support this API for chats.",
        )),
        Api::Converse | Api::Auto if facts.converse => Ok(Route::Converse),
        Api::Converse | Api::Auto if facts.invoke_model => Err(not_served(
            "The Converse API of Bedrock does not support this model.",
        )),
        Api::Converse | Api::Auto => Err(not_served(
            "This model is only available through the bedrock-mantle endpoint, which this gateway does not support.",
        )),
    }
}
