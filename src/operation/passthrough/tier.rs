//! The tier of a request of an AWS SDK.

use crate::{error::Error, money::Tier};

/// Returns the tier of a request with this latency mode and service tier, which is the member `param`.
///
/// # Errors
/// 400 for a service tier that the gateway does not know, because its price may be any.
pub fn tier(latency: Option<&str>, tier: Option<&str>, param: &str) -> Result<Tier, Error> {
    let tier = match tier {
        None | Some("" | "default" | "reserved") => Tier::Standard,
        Some("flex") => Tier::Flex,
        Some("priority") => Tier::Priority,
        Some(_) => {
            let text = "This service tier is not supported. Use 'default', 'priority', 'flex' or 'reserved'.";
            return Err(Error::invalid(param, text));
        }
    };
    Ok(match latency {
        Some("optimized") => Tier::Optimized,
        _ => tier,
    })
}
