//! Models whose body has one prompt: the gateway marks the turns as the family's template does.

mod reader;
mod specials;
mod turns;

pub use reader::{THINK, Text};

use super::{Writer, body::Body};
use crate::{
    bedrock::request::{ConverseRequest, SystemContentBlock},
    error::Error,
    model::InvokeFamily,
};
use specials::Specials;
use turns::Turn;

/// Returns the body of a request.
///
/// # Errors
/// If the request cannot be serialized.
pub fn body(request: &ConverseRequest<'_>, writer: &Writer<'_>) -> Result<Body, Error> {
    let mut body = Body::default();
    body.set("prompt", &prompt(request, writer))?;
    if let Some(config) = &request.inference_config {
        let cap = match writer.invoke.family {
            InvokeFamily::Llama2 | InvokeFamily::Llama3 | InvokeFamily::Llama4 => "max_gen_len",
            _ => "max_tokens",
        };
        body.set_some(cap, config.max_tokens)?;
        body.set_some("temperature", config.temperature)?;
        body.set_some("top_p", config.top_p)?;
        body.set_list("stop", &config.stop_sequences)?;
    }
    body.extend(&request.additional_model_request_fields)?;
    Ok(body)
}

/// Returns the prompt. Texts are joined before the special tokens in them are neutralized, so that none can arise from
/// parts.
pub fn prompt(request: &ConverseRequest<'_>, writer: &Writer<'_>) -> String {
    let mut specials = Specials::of(writer.invoke.family);
    let prompt = written(request, writer, &mut specials);
    if specials.has_neutralized() {
        writer.warnings.add("messages: tokens that mark turns were neutralized in the text (the prompt of this model is one text, in which they would begin or end a turn)");
    }
    prompt
}

fn written(request: &ConverseRequest<'_>, writer: &Writer<'_>, specials: &mut Specials) -> String {
    let system: Vec<&str> = request
        .system
        .iter()
        .filter_map(|block| match block {
            SystemContentBlock::Text(text) => Some(text.as_ref()),
            SystemContentBlock::GuardContent(_) | SystemContentBlock::CachePoint(_) => None,
        })
        .collect();
    let system = specials.neutralized(&system.join("\n\n"));
    let turns: Vec<Turn> = request
        .messages
        .iter()
        .map(|message| Turn::of(message, specials))
        .collect();
    match writer.invoke.family {
        InvokeFamily::ClaudeText => turns::claude(&system, &turns),
        InvokeFamily::Llama2 => turns::llama2(&system, &turns),
        InvokeFamily::Llama4 => turns::llama(&system, &turns, &turns::LLAMA4),
        InvokeFamily::DeepseekR1 => turns::deepseek(&system, &turns),
        // The translation has moved the system text into the first turn.
        InvokeFamily::TitanText => turns::titan(&turns),
        InvokeFamily::MistralText => turns::mistral(&system, &turns, writer.invoke.system_last),
        _ => turns::llama(&system, &turns, &turns::LLAMA3),
    }
}

#[cfg(test)]
mod tests;
