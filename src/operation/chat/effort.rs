use super::Chat;
use crate::error::Error;

/// Every effort that OpenAI and the families know, weakest first.
pub const SCALE: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

/// The smallest thinking budget that Claude accepts, in tokens.
pub const MIN_BUDGET: u32 = 1024;

/// The largest thinking budget that the gateway asks for, in tokens.
pub const MAX_BUDGET: u32 = 16_384;

/// What is left for the answer beside a budget if the client sets no limit, in tokens.
pub const VISIBLE: u32 = 4096;

/// The reasoning effort that the request asks for.
///
/// # Errors
/// 400 for a word that is not on the scale.
pub fn effort(chat: &Chat) -> Result<Option<&'static str>, Error> {
    let of_object = chat
        .reasoning
        .as_ref()
        .and_then(|reasoning| reasoning.effort.as_deref());
    let Some(asked) = chat.reasoning_effort.as_deref().or(of_object) else {
        return Ok(None);
    };
    match SCALE.iter().find(|effort| **effort == asked) {
        Some(effort) => Ok(Some(effort)),
        None => Err(Error::invalid(
            "reasoning_effort",
            format!("'reasoning_effort' must be one of {}.", SCALE.join(", ")),
        )),
    }
}
