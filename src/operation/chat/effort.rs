use super::Chat;
use crate::error::Error;

/// All values of `reasoning_effort` that OpenAI and the model families define, weakest first.
pub const SCALE: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

/// The smallest thinking budget that Claude accepts, in tokens.
pub const MIN_BUDGET: u32 = 1024;

/// The largest thinking budget that the gateway requests, in tokens.
pub const MAX_BUDGET: u32 = 16_384;

/// The tokens for the answer in addition to a thinking budget, if the client sets no limit.
pub const VISIBLE: u32 = 4096;

/// Returns the reasoning effort that the client requests.
///
/// # Errors
/// 400 for a value that is not in [`SCALE`].
pub fn effort(chat: &Chat) -> Result<Option<&'static str>, Error> {
    let of_object = chat
        .reasoning
        .as_ref()
        .and_then(|reasoning| reasoning.effort.as_deref());
    let Some(requested) = chat.reasoning_effort.as_deref().or(of_object) else {
        return Ok(None);
    };
    match SCALE.iter().find(|effort| **effort == requested) {
        Some(effort) => Ok(Some(effort)),
        None => Err(Error::invalid(
            "reasoning_effort",
            format!("'reasoning_effort' must be one of {}.", SCALE.join(", ")),
        )),
    }
}
