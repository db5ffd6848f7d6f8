//! Reads chat completions and their chunks, and Mistral's variant of them.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    error::Error,
    upstream::invoke::{
        chat::reply::{Counts, Reader, Reply},
        malformed, parse,
    },
};

/// The content block of reasoning, in the numbering of the answer. Calls follow.
const REASONING: u32 = 0;

/// Reads replies. Holds the indexes of the calls that have begun.
#[derive(Default)]
pub struct OpenAi {
    calls: Vec<u32>,
}

#[derive(Deserialize)]
struct Completion {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u64,
    #[serde(default, alias = "delta")]
    message: Option<Message>,
    #[serde(default, alias = "stop_reason")]
    finish_reason: Option<String>,
    #[serde(default)]
    logprobs: Option<Logprobs>,
}

#[derive(Deserialize)]
struct Logprobs {
    #[serde(default)]
    content: Option<Vec<Box<RawValue>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Message {
    content: Option<Content>,
    #[serde(alias = "reasoning")]
    reasoning_content: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: Option<String>,
}

#[derive(Deserialize)]
struct ToolCall {
    #[serde(default)]
    index: Option<u32>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Function,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Function {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: Option<i64>,
    #[serde(default)]
    completion_tokens: Option<i64>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PromptDetails {
    cached_tokens: Option<i64>,
    cache_write_tokens: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl Reader for OpenAi {
    fn whole(&mut self, body: &[u8], reply: &mut Reply) -> Result<(), Error> {
        let completion: Completion = parse(body)?;
        if !completion.choices.iter().any(|choice| choice.index == 0) {
            return Err(malformed("no `choices`"));
        }
        self.completion(completion, reply);
        if !reply.is_stopped() {
            reply.stop("end_turn", None);
        }
        Ok(())
    }

    fn event(&mut self, event: &[u8], reply: &mut Reply) -> Result<(), Error> {
        self.completion(parse(event)?, reply);
        Ok(())
    }
}

impl OpenAi {
    fn completion(&mut self, completion: Completion, reply: &mut Reply) {
        let (own, others): (Vec<Choice>, Vec<Choice>) = completion
            .choices
            .into_iter()
            .partition(|choice| choice.index == 0);
        if !others.is_empty() {
            reply.answer.unknown("a choice that was not requested");
        }
        for choice in own {
            self.message(choice.message.unwrap_or_default(), reply);
            let logprobs = choice.logprobs.and_then(|logprobs| logprobs.content);
            reply.logprobs(&logprobs.unwrap_or_default());
            if let Some(reason) = choice.finish_reason.filter(|one| !one.is_empty()) {
                self.stop(&reason, reply);
            }
        }
        if let Some(usage) = completion.usage {
            count(usage, reply);
        }
    }

    fn message(&mut self, message: Message, reply: &mut Reply) {
        if let Some(reasoning) = message.reasoning_content {
            reply.thinking(REASONING, &reasoning);
        }
        match message.content {
            Some(Content::Text(text)) => reply.text(text),
            Some(Content::Parts(parts)) => {
                for part in parts {
                    match part.text {
                        Some(text) => reply.text(text),
                        None => reply.unknown(),
                    }
                }
            }
            None => {}
        }
        reply.text(message.refusal.unwrap_or_default());
        for (at, call) in (0..).zip(message.tool_calls.unwrap_or_default()) {
            let block = call.index.unwrap_or(at).saturating_add(REASONING + 1);
            if !self.calls.contains(&block) {
                let name = call.function.name.filter(|name| !name.is_empty());
                let Some(name) = name else {
                    reply.answer.unknown("a tool call without a name");
                    continue;
                };
                self.calls.push(block);
                reply.tool_start(block, &call.id.unwrap_or_default(), &name);
            }
            reply.tool_input(block, call.function.arguments.unwrap_or_default());
        }
    }

    fn stop(&mut self, reason: &str, reply: &mut Reply) {
        reply.block_stop(REASONING);
        let reason = match reason {
            "stop" => "end_turn",
            "length" | "model_length" => "max_tokens",
            "tool_calls" | "function_call" => "tool_use",
            "content_filter" => "content_filtered",
            other => other,
        };
        // A call that the limit cut off must not look complete, so it stays open.
        if reason != "max_tokens" {
            for block in std::mem::take(&mut self.calls) {
                reply.block_stop(block);
            }
        }
        reply.stop(reason, None);
    }
}

/// Adds the usage. OpenAI's prompt tokens include those that were read from and written to the cache.
fn count(usage: Usage, reply: &mut Reply) {
    let PromptDetails {
        cached_tokens,
        cache_write_tokens,
    } = usage.prompt_tokens_details.unwrap_or_default();
    let cached = cached_tokens
        .unwrap_or(0)
        .saturating_add(cache_write_tokens.unwrap_or(0));
    reply.count(Counts {
        input: usage
            .prompt_tokens
            .map(|tokens| tokens.saturating_sub(cached)),
        output: usage.completion_tokens,
        cache_read: cached_tokens,
        cache_write: cache_write_tokens,
        ..Counts::default()
    });
    let details = usage.completion_tokens_details.unwrap_or_default();
    reply.count_reasoning(details.reasoning_tokens);
}
