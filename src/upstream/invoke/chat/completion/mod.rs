//! Families of completions: Claude 2 and Claude Instant, Cohere's Command, and AI21's Jurassic-2. The body has one prompt.
//! Only Claude's has marks for turns; the others know no earlier turns.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-text-completion.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-cohere-command.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-jurassic2.html>

mod reader;

use std::borrow::Cow;

pub use reader::{Claude, Command, Jurassic, failed};

use super::{Writer, body::Body, template};
use crate::{
    bedrock::{
        content::{ContentBlock, ConversationRole, GuardrailConverseContentBlock},
        request::ConverseRequest,
    },
    error::Error,
    model::InvokeFamily,
};

/// The names of a family's parameters.
struct Names {
    cap: &'static str,
    top_p: &'static str,
    stops: &'static str,
}

const CLAUDE: Names = Names {
    cap: "max_tokens_to_sample",
    top_p: "top_p",
    stops: "stop_sequences",
};

const COMMAND: Names = Names {
    cap: "max_tokens",
    top_p: "p",
    stops: "stop_sequences",
};

const JURASSIC: Names = Names {
    cap: "maxTokens",
    top_p: "topP",
    stops: "stopSequences",
};

/// Returns the body of a request.
///
/// # Errors
/// 400 if the family knows no earlier turns, and there are some.
pub fn body(request: &ConverseRequest<'_>, writer: &Writer<'_>) -> Result<Body, Error> {
    let (names, prompt) = match writer.invoke.family {
        InvokeFamily::ClaudeText => (CLAUDE, Cow::Owned(template::prompt(request, writer))),
        InvokeFamily::Command => (COMMAND, only_turn(request)?),
        _ => (JURASSIC, only_turn(request)?),
    };
    let mut body = Body::default();
    body.set("prompt", &prompt)?;
    if let Some(config) = &request.inference_config {
        body.set_some(names.cap, config.max_tokens)?;
        body.set_some("temperature", config.temperature)?;
        body.set_some(names.top_p, config.top_p)?;
        body.set_list(names.stops, &config.stop_sequences)?;
    }
    // The parameter of Command, without which nothing is streamed.
    if writer.invoke.family == InvokeFamily::Command && writer.is_stream {
        body.set("stream", &true)?;
    }
    body.extend(&request.additional_model_request_fields)?;
    Ok(body)
}

/// Returns the text of the only turn.
fn only_turn<'r>(request: &'r ConverseRequest<'_>) -> Result<Cow<'r, str>, Error> {
    let [turn] = request.messages.as_slice() else {
        return Err(unsupported());
    };
    if turn.role == ConversationRole::Assistant {
        return Err(unsupported());
    }
    let texts = turn.content.iter().filter_map(|block| match block {
        ContentBlock::Text(text) => Some(text.as_ref()),
        ContentBlock::GuardContent(GuardrailConverseContentBlock::Text(text)) => Some(&text.text),
        // The facts of this route have no other content.
        _ => None,
    });
    Ok(texts.collect::<Vec<&str>>().join("\n\n").into())
}

fn unsupported() -> Error {
    Error::invalid(
        "messages",
        "This model completes one prompt on its route, InvokeModel; it knows no earlier turns. Send one message of the user.",
    )
    .with_code("unsupported_content")
}
