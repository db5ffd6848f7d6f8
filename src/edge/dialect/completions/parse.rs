//! Parses and validates completion requests.

use crate::{
    call::Warnings,
    edge::{body, dialect::chat_events::LastChunk},
    error::Error,
    openai::{
        text_completion::{CompletionRequest, MAX_PROMPTS},
        texts::Texts,
    },
    operation::{
        chat::{Chat, Message, Origin, Part, Role},
        expansion,
    },
};

/// Maximum number of choices of one request; OpenAI's limit on `n`.
const MAX_CHOICES: usize = 128;

/// Parses and validates a request. Returns the chat, the name of the model, and what the last chunk of a stream includes.
///
/// # Errors
/// 400 with the invalid member.
pub fn completion(bytes: &[u8], warnings: &Warnings) -> Result<(Chat, String, LastChunk), Error> {
    let request: CompletionRequest = body::parse(bytes, warnings)?;
    unsupported(&request)?;
    ranges(&request)?;
    let texts = prompts(request.prompt, request.n)?;
    let longest = texts.iter().map(String::len).max().unwrap_or_default();
    let all: usize = texts.iter().map(String::len).sum();
    let conversation = |(index, text)| {
        let origin = Origin {
            list: "prompt",
            index,
        };
        vec![Message {
            role: Role::User,
            name: None,
            parts: vec![Part::Text(text)],
            origin,
        }]
    };
    let mut conversations = texts.into_iter().enumerate().map(conversation);
    let chat = Chat {
        messages: conversations.next().unwrap_or_default(),
        more: conversations.collect(),
        stream: request.stream == Some(true),
        max_tokens: request.max_tokens,
        temperature: request.temperature,
        top_p: request.top_p,
        stop: request.stop,
        n: request.n,
        frequency_penalty: request.frequency_penalty,
        presence_penalty: request.presence_penalty,
        seed: request.seed,
        user: request.user,
        top_k: request.top_k,
        bedrock: request.bedrock,
        max_cost: body::max_cost(request.max_cost_usd.as_deref())?,
        // Each request to Bedrock contains only one prompt, so the longest one counts.
        bytes: bytes.len().saturating_sub(all) + longest,
        expansion: expansion::of_body(bytes),
        ..Chat::default()
    };
    let last_chunk = LastChunk::of(request.stream_options.as_ref());
    Ok((chat, request.model, last_chunk))
}

fn prompts(prompt: Texts<MAX_PROMPTS>, n: Option<u32>) -> Result<Vec<String>, Error> {
    let Texts::Text { texts, is_list } = prompt else {
        let text = "Token prompts are not supported, because Bedrock takes text. Send strings.";
        return Err(Error::invalid("prompt", text).with_code("unsupported_parameter"));
    };
    let choices = texts.len().saturating_mul(n.unwrap_or(1) as usize);
    if texts.is_empty() || choices > MAX_CHOICES {
        let count = texts.len();
        let text = format!(
            "'prompt' has {count} prompts and 'n' is {}; a request may have 1 to {MAX_CHOICES} choices in total.",
            n.unwrap_or(1)
        );
        return Err(Error::invalid("prompt", text));
    }
    match texts.iter().position(|text| text.trim().is_empty()) {
        Some(index) => {
            let at = if is_list {
                format!("prompt[{index}]")
            } else {
                "prompt".to_owned()
            };
            Err(Error::invalid(at, "The prompt is empty."))
        }
        None => Ok(texts),
    }
}

/// Rejects members that would change the meaning of the answer if they were dropped.
fn unsupported(request: &CompletionRequest) -> Result<(), Error> {
    let members = [
        (
            "suffix",
            request
                .suffix
                .as_ref()
                .is_some_and(|suffix| !suffix.is_empty()),
            "text can only be appended to the prompt",
        ),
        (
            "best_of",
            request
                .best_of
                .is_some_and(|best| best > request.n.unwrap_or(1)),
            "Bedrock returns no log probabilities to choose by",
        ),
        (
            "echo",
            request.echo == Some(true),
            "completions do not include the prompt",
        ),
        (
            "logprobs",
            request.logprobs.is_some(),
            "Bedrock returns no log probabilities",
        ),
        (
            "logit_bias",
            request
                .logit_bias
                .as_ref()
                .is_some_and(|bias| !bias.is_empty()),
            "Bedrock's Converse API has no such parameter",
        ),
    ];
    match members.into_iter().find(|(_, present, _)| *present) {
        Some((param, _, why)) => {
            let text = format!("'{param}' is not supported here: {why}.");
            Err(Error::invalid(param, text).with_code("unsupported_parameter"))
        }
        None => Ok(()),
    }
}

fn ranges(request: &CompletionRequest) -> Result<(), Error> {
    body::within("temperature", request.temperature, 0.0, 2.0)?;
    body::within("top_p", request.top_p, 0.0, 1.0)?;
    body::within("frequency_penalty", request.frequency_penalty, -2.0, 2.0)?;
    body::within("presence_penalty", request.presence_penalty, -2.0, 2.0)?;
    body::within("n", request.n.map(f64::from), 1.0, 128.0)?;
    let most = f64::from(i32::MAX);
    body::within("top_k", request.top_k.map(f64::from), 1.0, most)?;
    body::within("max_tokens", request.max_tokens.map(f64::from), 1.0, most)?;
    if request
        .best_of
        .is_some_and(|best| best < request.n.unwrap_or(1))
    {
        let text = "'best_of' must be at least 'n'.";
        return Err(Error::invalid("best_of", text));
    }
    Ok(())
}
