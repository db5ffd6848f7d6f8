//! The bodies of InvokeModel that the gateway can bound: the member that limits the output, and the members that cannot
//! change what a call costs.

use super::Size;
use crate::model::{DrawFamily, Facts, InvokeFamily};

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
const OPENAI: [&str; 20] = [
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
    "structured_outputs",
    "logprobs",
    "top_logprobs",
];

/// The members of bodies with one prompt.
const TEXT: [&str; 18] = [
    "prompt",
    "max_gen_len",
    "max_tokens",
    "max_tokens_to_sample",
    "maxTokens",
    "temperature",
    "top_p",
    "topP",
    "p",
    "top_k",
    "k",
    "stop",
    "stop_sequences",
    "stopSequences",
    "stream",
    "countPenalty",
    "presencePenalty",
    "frequencyPenalty",
];

/// The members of Titan Text.
const TITAN: [&str; 2] = ["inputText", "textGenerationConfig"];

/// The members of Command R.
const COMMAND_R: [&str; 16] = [
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
    "tool_results",
    "documents",
    "prompt_truncation",
    "search_queries_only",
];

/// The members of Pegasus.
const PEGASUS: [&str; 5] = [
    "inputPrompt",
    "mediaSource",
    "temperature",
    "maxOutputTokens",
    "responseFormat",
];

/// The members of Cohere's and Amazon's rerankers.
const RERANK: [&str; 5] = [
    "query",
    "documents",
    "top_n",
    "api_version",
    "max_tokens_per_doc",
];

/// The members of all models of Stability AI. Each has more, which the catalogue lists.
const STABILITY: [&str; 6] = [
    "prompt",
    "mode",
    "image",
    "negative_prompt",
    "seed",
    "output_format",
];

/// The members that limit the output, in the bodies of all families. A model follows one of them.
pub const LIMITS: [&str; 6] = [
    "max_tokens",
    "max_tokens_to_sample",
    "maxTokens",
    "max_completion_tokens",
    "max_gen_len",
    "maxOutputTokens",
];

/// The member of Titan Text's `textGenerationConfig` that limits the output.
pub const TITAN_LIMITS: [&str; 1] = ["maxTokenCount"];

/// The members of Nova's `inferenceConfig` that limit the output: the current and the former name.
pub const NOVA_LIMITS: [&str; 2] = ["maxTokens", "max_new_tokens"];

/// The members of embeddings.
const EMBEDDING: [&str; 19] = [
    "inputType",
    "inputImage",
    "textTruncate",
    "mediaSource",
    "text",
    "image",
    "schemaVersion",
    "taskType",
    "singleEmbeddingParams",
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
        InvokeFamily::Llama2 | InvokeFamily::Llama3 | InvokeFamily::Llama4 => ("max_gen_len", None),
        InvokeFamily::ClaudeText => ("max_tokens_to_sample", None),
        InvokeFamily::Jurassic => ("maxTokens", None),
        InvokeFamily::OpenaiChat if invoke.max_completion_tokens => ("max_completion_tokens", None),
        InvokeFamily::Anthropic
        | InvokeFamily::OpenaiChat
        | InvokeFamily::MistralChat
        | InvokeFamily::MistralText
        | InvokeFamily::Command
        | InvokeFamily::CommandR
        | InvokeFamily::DeepseekR1 => ("max_tokens", None),
        InvokeFamily::Pegasus => ("maxOutputTokens", None),
    })
}

/// Returns the members of a body whose effect on the cost the gateway does not know.
pub fn unbounded<'s>(size: &'s Size, facts: &'s Facts) -> impl Iterator<Item = &'s String> {
    let known = known(facts);
    let of_draw = facts.draw.iter();
    let own: Vec<&String> = of_draw
        .flat_map(|draw| draw.needs.iter().chain(&draw.takes))
        .collect();
    let is_unknown = move |name: &&String| !known.contains(&name.as_str()) && !own.contains(name);
    size.members.iter().filter(is_unknown)
}

/// The members of the model's body whose effect on the cost the gateway knows.
fn known(facts: &Facts) -> &'static [&'static str] {
    match (&facts.draw, facts.invoke.as_ref().map(|own| own.family)) {
        _ if facts.embed.is_some() => &EMBEDDING,
        _ if facts.rerank.is_some() => &RERANK,
        // The price of Amazon's images depends on their size and quality.
        (Some(draw), _) if draw.family != DrawFamily::AmazonImage => &STABILITY,
        (_, Some(InvokeFamily::Anthropic)) => &ANTHROPIC,
        (_, Some(InvokeFamily::Nova)) => &NOVA,
        (_, Some(InvokeFamily::OpenaiChat | InvokeFamily::MistralChat)) => &OPENAI,
        (_, Some(InvokeFamily::TitanText)) => &TITAN,
        (_, Some(InvokeFamily::CommandR)) => &COMMAND_R,
        (_, Some(InvokeFamily::Pegasus)) => &PEGASUS,
        (_, Some(family)) if family.is_template() => &TEXT,
        _ => &[],
    }
}
