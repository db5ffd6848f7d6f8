//! The bodies of InvokeModel that the gateway can bound: the member that limits the output, and the members that cannot
//! change what a call costs.

use super::Size;
use crate::model::{Facts, InvokeFamily};

/// The members of Anthropic's Messages.
const ANTHROPIC: [&str; 14] = [
    "anthropic_version",
    "anthropic_beta",
    "max_tokens",
    "messages",
    "system",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "metadata",
];

/// The members of Nova's `messages-v1`.
const NOVA: [&str; 5] = [
    "schemaVersion",
    "messages",
    "system",
    "inferenceConfig",
    "toolConfig",
];

/// The members of chat completions.
const OPENAI: [&str; 17] = [
    "model",
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "tools",
    "tool_choice",
    "response_format",
    "reasoning_effort",
    "stream",
];

/// The members of bodies with one prompt.
const TEXT: [&str; 7] = [
    "prompt",
    "max_gen_len",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop",
];

/// The members of Titan Text.
const TITAN: [&str; 2] = ["inputText", "textGenerationConfig"];

/// The members of Command R.
const COMMAND_R: [&str; 12] = [
    "message",
    "chat_history",
    "preamble",
    "max_tokens",
    "temperature",
    "p",
    "k",
    "seed",
    "stop_sequences",
    "frequency_penalty",
    "presence_penalty",
    "tools",
];

/// The members of text embeddings.
const EMBEDDING: [&str; 10] = [
    "inputText",
    "texts",
    "input_type",
    "truncate",
    "embedding_types",
    "output_dimension",
    "max_tokens",
    "dimensions",
    "normalize",
    "embeddingTypes",
];

/// Returns the member that limits the output of a chat, and the member that it is inside of. `None` if the model does not
/// chat, or the gateway does not know its body.
pub fn cap_member(facts: &Facts) -> Option<(&'static str, Option<&'static str>)> {
    let invoke = facts.invoke.as_ref()?;
    Some(match invoke.family {
        InvokeFamily::Nova => ("maxTokens", Some("inferenceConfig")),
        InvokeFamily::TitanText => ("maxTokenCount", Some("textGenerationConfig")),
        InvokeFamily::Llama3 | InvokeFamily::Llama4 => ("max_gen_len", None),
        InvokeFamily::OpenaiChat if invoke.max_completion_tokens => ("max_completion_tokens", None),
        InvokeFamily::Anthropic
        | InvokeFamily::OpenaiChat
        | InvokeFamily::MistralChat
        | InvokeFamily::MistralText
        | InvokeFamily::CommandR
        | InvokeFamily::DeepseekR1 => ("max_tokens", None),
        // Priced by the length of the video, which is in no member.
        InvokeFamily::Pegasus => return None,
    })
}

/// Returns the members of a body whose effect on the cost the gateway does not know.
pub fn unbounded<'s>(size: &'s Size, facts: &Facts) -> impl Iterator<Item = &'s String> {
    let family = facts.invoke.as_ref().map(|invoke| invoke.family);
    let known: &[&str] = match family {
        _ if facts.embed.is_some() => &EMBEDDING,
        Some(InvokeFamily::Anthropic) => &ANTHROPIC,
        Some(InvokeFamily::Nova) => &NOVA,
        Some(InvokeFamily::OpenaiChat | InvokeFamily::MistralChat) => &OPENAI,
        Some(InvokeFamily::TitanText) => &TITAN,
        Some(InvokeFamily::CommandR) => &COMMAND_R,
        Some(family) if family.is_template() => &TEXT,
        _ => &[],
    };
    let is_unknown = |name: &&String| !known.contains(&name.as_str());
    size.members.iter().filter(is_unknown)
}
