//! Translates answers of the endpoints into chunks. Whole replies and streams share this code.

use std::{collections::VecDeque, sync::Arc};

use serde_json::Value;

use super::{
    guardrail,
    wire::{Completion, Message, ToolCall, Usage},
};
use crate::{
    bedrock::reply::{ServiceTier, TokenUsage},
    call::Warnings,
    error::Error,
    model::ToolUseIdForm,
    money,
    operation::chat::Chunk,
    upstream::converse::{ReplyPlan, answer::Answer, finish, names::hashed_id},
};

/// The block of all reasoning. The calls follow.
const REASONING: u32 = 0;

/// Cap on the calls of an answer. Bounds what a faulty stream can allocate.
const MAX_CALLS: usize = 1024;

/// The state of one answer.
pub struct Translator {
    plan: Arc<ReplyPlan>,
    warnings: Warnings,
    answer: Answer,
    /// Identifies the answer among all answers of the gateway.
    answer_id: String,
    id_form: ToolUseIdForm,
    calls: Vec<Call>,
    /// `finish_reason`, once it arrived.
    finish: Option<String>,
    usage: Option<Usage>,
    /// The usage arrived after the finish reason, so it is complete.
    usage_is_final: bool,
    tier: Option<String>,
    intervened: bool,
    trace: Option<Value>,
    /// The end of the answer was emitted.
    ended: bool,
}

/// One call of the answer.
#[derive(Debug, Default)]
struct Call {
    /// The position that the service gives.
    index: usize,
    started: bool,
    /// Arguments that arrived before the name.
    held: String,
}

impl Translator {
    pub fn new(
        plan: Arc<ReplyPlan>,
        warnings: Warnings,
        answer_id: String,
        id_form: ToolUseIdForm,
    ) -> Self {
        Self {
            answer: Answer::new(plan.clone(), warnings.clone()),
            plan,
            warnings,
            answer_id,
            id_form,
            calls: Vec::new(),
            finish: None,
            usage: None,
            usage_is_final: false,
            tier: None,
            intervened: false,
            trace: None,
            ended: false,
        }
    }

    /// Adds a whole reply or an event.
    pub fn add(&mut self, completion: Completion, out: &mut VecDeque<Chunk>) {
        self.usage_is_final |= completion.usage.is_some() && self.finish.is_some();
        self.usage = completion.usage.or(self.usage);
        self.tier = completion.service_tier.or(self.tier.take());
        self.trace = completion.trace.or(self.trace.take());
        self.intervened |= completion.guardrail_action.as_deref() == Some("INTERVENED");
        // The gateway asks for one choice.
        let choice = completion.choices.into_iter().flatten().next();
        let Some(choice) = choice.filter(|_| self.finish.is_none()) else {
            return;
        };
        if let Some(message) = choice.message.or(choice.delta) {
            self.message(message, out);
        }
        self.finish = choice.finish_reason.or(self.finish.take());
    }

    /// Returns whether the service has said why the answer ended. Its usage may still follow.
    pub fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// Returns whether nothing can follow but the end of the stream.
    pub fn has_final_usage(&self) -> bool {
        self.usage_is_final
    }

    /// Returns whether the end of the answer was emitted.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Emits the end of the answer.
    ///
    /// # Errors
    /// If the finish reason means that there is no answer.
    pub fn end(&mut self, out: &mut VecDeque<Chunk>) -> Result<(), Error> {
        let reason = match self.finish.as_deref().unwrap_or_default() {
            _ if self.intervened => "guardrail_intervened",
            "stop" => "end_turn",
            "length" => "max_tokens",
            "tool_calls" | "function_call" => "tool_use",
            "content_filter" => "content_filtered",
            other => other,
        };
        self.answer.finish(reason, None, out)?;
        self.ended = true;
        let trace = self.trace.as_ref().and_then(guardrail::trace);
        let usage = self.usage(trace.as_ref());
        out.extend(
            trace
                .filter(|_| self.plan.show_guardrail)
                .map(Chunk::Guardrail),
        );
        out.push_back(Chunk::Usage(usage));
        Ok(())
    }

    /// Estimates the usage of an answer that broke off, of which `unseen` tokens of output can be hidden. What the service
    /// has reported so far is a lower bound.
    pub fn estimate(&self, unseen: u64) -> money::Usage {
        let guess = self.priced(None, None);
        let known = buckets(self.usage.unwrap_or_default());
        let most = |guess: u64, known: i64| i64::try_from(guess).unwrap_or(i64::MAX).max(known);
        let counts = TokenUsage {
            input_tokens: most(guess.input, known.input_tokens),
            output_tokens: most(guess.output.max(unseen), known.output_tokens),
            ..known
        };
        let mut usage = self.priced(Some(counts), None);
        usage.estimated = true;
        usage
    }

    /// Returns the usage that the service has reported, or an estimate from the answer.
    fn usage(&self, trace: Option<&Value>) -> money::Usage {
        self.priced(self.usage.map(buckets), trace)
    }

    fn priced(&self, counts: Option<TokenUsage>, trace: Option<&Value>) -> money::Usage {
        let reasoning = self
            .usage
            .and_then(|usage| usage.completion_tokens_details?.reasoning_tokens);
        let tier = self.tier.as_deref().map(|tier| match tier {
            "standard" => "default",
            other => other,
        });
        let terms = finish::Terms {
            tier: tier.map(|kind| ServiceTier {
                kind: kind.to_owned(),
            }),
            guardrail: trace,
            ..finish::Terms::default()
        };
        finish::usage(counts, terms, reasoning, self.answer.size, &self.plan)
    }

    fn message(&mut self, message: Message, out: &mut VecDeque<Chunk>) {
        let is_said = |text: &String| !text.is_empty();
        let reasoning = message.reasoning_content.filter(is_said);
        if let Some(text) = reasoning.or(message.reasoning) {
            self.answer.reasoning(REASONING, &text, out);
        }
        if let Some(text) = message.content.filter(is_said) {
            self.answer.text(text, out);
        }
        if let Some(text) = message.refusal.filter(is_said) {
            self.warnings
                .add("reply: the model's refusal is part of the content");
            self.answer.text(text, out);
        }
        for (nth, call) in message.tool_calls.into_iter().flatten().enumerate() {
            self.call(nth, call, out);
        }
    }

    fn call(&mut self, nth: usize, call: ToolCall, out: &mut VecDeque<Chunk>) {
        let index = call.index.unwrap_or(nth);
        let known = self.calls.iter().position(|known| known.index == index);
        let at = match known {
            Some(at) => at,
            None if self.calls.len() == MAX_CALLS => return,
            None => {
                if let Some(last) = self.calls.len().checked_sub(1) {
                    self.answer.block_stop(block(last), out);
                }
                self.calls.push(Call {
                    index,
                    ..Call::default()
                });
                self.calls.len() - 1
            }
        };
        let function = call.function.unwrap_or_default();
        let mut arguments = function.arguments.unwrap_or_default();
        if !self.calls[at].started {
            self.calls[at].held.push_str(&arguments);
            let Some(name) = function.name.filter(|name| !name.is_empty()) else {
                return;
            };
            self.calls[at].started = true;
            arguments = std::mem::take(&mut self.calls[at].held);
            let id = self.unique_id(call.id.as_deref().unwrap_or_default(), at);
            self.answer.tool_start(block(at), &id, &name, None, out);
        }
        self.answer.tool_input(block(at), arguments, out);
    }

    /// Returns an id that no other call of the conversation has. Some models number the calls of each turn anew.
    fn unique_id(&self, id: &str, nth: usize) -> String {
        let is_positional = id
            .strip_prefix("call_")
            .is_some_and(|rest| rest.len() < 6 && rest.bytes().all(|byte| byte.is_ascii_digit()));
        if !id.is_empty() && !is_positional {
            return id.to_owned();
        }
        hashed_id(&format!("{} {nth}", self.answer_id), self.id_form).into_owned()
    }
}

fn block(call: usize) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX - 1) + 1
}

/// Splits the counts into the buckets that AWS bills.
fn buckets(usage: Usage) -> TokenUsage {
    let details = usage.prompt_tokens_details.unwrap_or_default();
    let (read, write) = (
        details.cached_tokens.unwrap_or(0),
        details.cache_write_tokens.unwrap_or(0),
    );
    TokenUsage {
        input_tokens: usage
            .prompt_tokens
            .saturating_sub(read)
            .saturating_sub(write),
        output_tokens: usage.completion_tokens,
        cache_read_input_tokens: Some(read),
        cache_write_input_tokens: Some(write),
        ..TokenUsage::default()
    }
}
