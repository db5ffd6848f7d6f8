//! Chooses the route of a chat: the API of Bedrock that it is sent to.
//!
//! The planner applies ordered rules to facts about the model, the needs of the request, the form of the target, and the
//! operator's settings. It is pure, so `lintel explain` shows what it will do.

mod carries;
mod check;
mod explain;
mod needs;
mod planner;

pub use carries::carries;
pub use check::check;
pub use explain::{Explanation, explain};
pub use needs::{Feature, Need};
pub use planner::{Choice, Strike, choose};

use super::Chat;
use crate::{
    call::{Caller, Route},
    error::Error,
    model::{InvokeFamily, Model},
};

/// What a version of the gateway can send chats by.
#[derive(Clone, Copy, Debug)]
pub struct Built {
    /// The routes for which `Chat` has a codec. The planner chooses no other.
    pub routes: &'static [Route],
    /// The bodies of InvokeModel that its codec can write.
    pub families: &'static [InvokeFamily],
}

/// What this version can send chats by. A new codec needs a line here.
pub const BUILT: Built = Built {
    routes: &[Route::Converse],
    families: &[],
};

/// Returns the route of `chat` to `model`, and the reason for it.
///
/// # Errors
/// 404 if no route of this version serves chats on the model, and 400 if none that does carries what the request needs.
pub fn of(chat: &Chat, model: &Model, caller: &Caller) -> Result<Choice, Error> {
    choose(model, &needs::of(chat, model, caller), BUILT)
}
