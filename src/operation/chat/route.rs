//! Chooses the route of a chat: the API of Bedrock that it is sent to.
//!
//! The planner applies ordered rules to facts about the model, the needs of the request, the form of the target, and the
//! operator's settings. It is pure, so `lintel explain` shows what it will do.

mod carries;
mod check;
mod explain;
mod feature;
mod needs;
mod planner;

pub use carries::carries;
pub use check::check;
pub use explain::{Explanation, RouteExplanation, explain};
pub use feature::Feature;
pub use needs::{Need, of as needs_of};
pub use planner::{Choice, Strike, choose, has_mantle};

use super::Chat;
use crate::{
    call::{Caller, Route},
    error::Error,
    model::Model,
};

/// The routes on which this version sends chats: those for which `Chat` has a codec. The planner chooses no other.
pub const BUILT: &[Route] = &[
    Route::Converse,
    Route::Invoke,
    Route::Chat,
    Route::MantleChat,
    Route::Responses,
    Route::MantleResponses,
    Route::Messages,
    Route::MantleMessages,
];

/// Returns the route of `chat` to `model`, and the reason for it.
///
/// # Errors
/// 404 if no route of this version serves chats on the model, and 400 if none that does carries what the request needs.
pub fn of(chat: &Chat, model: &Model, caller: &Caller) -> Result<Choice, Error> {
    choose(model, &needs::of(chat, model, caller), BUILT)
}

#[cfg(test)]
mod tests;
