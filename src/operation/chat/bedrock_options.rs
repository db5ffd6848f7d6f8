//! Checks of the `bedrock` member that need no answer of AWS, so that nothing is paid for a request that fails them.

use super::raw_fields;
use crate::{
    error::Error,
    model::guardrail,
    openai::extension::{BedrockOptions, GuardrailOptions},
};

/// The service's limit on the number of response field paths.
pub const MAX_PATHS: usize = 10;
/// The service's limit on a path, in characters.
const MAX_PATH: usize = 256;
/// The member with the paths.
pub const PATHS: &str = "bedrock.additional_model_response_field_paths";

/// Checks the options.
///
/// # Errors
/// 400 with the path of the member that is not valid.
pub fn check(options: &BedrockOptions) -> Result<(), Error> {
    if let Some(guardrail) = &options.guardrail {
        check_guardrail(guardrail)?;
    }
    if let Some(fields) = &options.additional_model_request_fields {
        raw_fields::check(fields)?;
    }
    let paths = options.additional_model_response_field_paths.as_deref();
    for path in paths.unwrap_or_default() {
        if !(1..=MAX_PATH).contains(&path.chars().count()) || !path.starts_with('/') {
            let text = "A path is a JSON pointer of 1 to 256 characters, such as '/stop_sequence'.";
            return Err(Error::invalid(PATHS, text));
        }
    }
    let latency = options.performance.as_deref();
    if latency.is_some_and(|latency| !["standard", "optimized"].contains(&latency)) {
        let text = "'performance' must be 'standard' or 'optimized'.";
        return Err(Error::invalid("bedrock.performance", text));
    }
    match options.cache.as_deref() {
        None | Some("auto") => Ok(()),
        Some(_) => Err(Error::invalid("bedrock.cache", "'cache' must be 'auto'.")),
    }
}

fn check_guardrail(options: &GuardrailOptions) -> Result<(), Error> {
    let wrong = |member: &str, text: &str| {
        let text = format!("'{member}' {text}.");
        Err(Error::invalid(format!("bedrock.guardrail.{member}"), text))
    };
    if !guardrail::is_version(&options.version) {
        return wrong("version", guardrail::VERSION);
    }
    if !guardrail::is_identifier(&options.identifier) {
        return wrong("identifier", guardrail::IDENTIFIER);
    }
    let words: [(&str, &Option<String>, &[&str]); 3] = [
        (
            "trace",
            &options.trace,
            &["enabled", "disabled", "enabled_full"],
        ),
        (
            "stream_processing_mode",
            &options.stream_processing_mode,
            &["sync", "async"],
        ),
        (
            "guard",
            &options.guard,
            &["explicit", "last_user", "all_user", "tool_results"],
        ),
    ];
    for (member, value, known) in words {
        if value
            .as_deref()
            .is_some_and(|value| !known.contains(&value))
        {
            return wrong(member, &format!("must be one of {}", known.join(", ")));
        }
    }
    Ok(())
}
