//! Translates answers of the endpoints into chunks. Whole replies and streams share this code.

use std::{collections::VecDeque, sync::Arc};

use serde_json::Value;

use super::{
    counts::{self, Counts},
    error::{NativeError, malformed},
    guardrail,
    stream::EventTranslator,
    wire::{Choice, Completion, Message, ToolCall, Usage},
};
use crate::{
    bedrock::reply::TokenUsage,
    call::Warnings,
    error::Error,
    model::ToolUseIdForm,
    money,
    operation::chat::Chunk,
    upstream::{
        BilledError,
        converse::{ReplyPlan, answer::Answer, finish::Stop, names::hashed_id},
    },
};

/// The block of all reasoning. The calls follow.
const REASONING: u32 = 0;

/// What the warning calls a call that the client cannot make.
pub const NAMELESS: &str = "a tool call without a name";

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
    /// The position in `calls` of the call that arrived last.
    last_call: usize,
    /// `finish_reason`, once it arrived.
    finish: Option<String>,
    counts: Counts,
    /// The usage arrived after the finish reason, so it is complete.
    usage_is_final: bool,
    intervened: bool,
    trace: Option<Value>,
    /// The end of the answer was emitted.
    ended: bool,
    /// The end means that there is no answer.
    has_failed: bool,
}

/// One call of the answer.
#[derive(Debug, Default)]
struct Call {
    /// The position that the service gives.
    index: usize,
    started: bool,
    ended: bool,
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
            last_call: 0,
            finish: None,
            counts: Counts::default(),
            usage_is_final: false,
            intervened: false,
            trace: None,
            ended: false,
            has_failed: false,
        }
    }

    /// Adds a whole reply or an event.
    fn add(&mut self, completion: Completion, out: &mut VecDeque<Chunk>) {
        let was_finished = self.finish.is_some();
        self.choices(completion.choices.unwrap_or_default(), out);
        if let Some(usage) = completion.usage {
            // What arrives before the reason can be the count of the input alone.
            let is_final = self.finish.is_some();
            self.counts.tokens.add(tokens(usage), is_final);
            self.usage_is_final = was_finished;
            let details = usage.completion_tokens_details;
            self.counts.reasoning = details.and_then(|details| details.reasoning_tokens);
        }
        self.counts.tier = completion.service_tier.or(self.counts.tier.take());
        self.trace = completion.trace.or(self.trace.take());
        self.intervened |= completion.guardrail_action.as_deref() == Some("INTERVENED");
    }

    /// Adds the choice that was requested, which is the first. Others are not part of the answer.
    fn choices(&mut self, choices: Vec<Choice>, out: &mut VecDeque<Chunk>) {
        let (own, others): (Vec<Choice>, Vec<Choice>) =
            choices.into_iter().partition(|choice| choice.index == 0);
        if !others.is_empty() {
            self.answer.unknown("a choice that was not requested");
        }
        for choice in own {
            let before = self.answer.size.reply_bytes;
            if let Some(message) = choice.message.or(choice.delta) {
                self.message(message, out);
            }
            if self.answer.size.reply_bytes > before {
                // Text can follow the reason. It is part of the answer, and usage that came before does not count it.
                self.counts.tokens.outdate();
                self.usage_is_final = false;
            }
            let reason = choice.finish_reason.filter(|reason| !reason.is_empty());
            self.finish = reason.or(self.finish.take());
        }
    }

    /// Adds a whole reply and emits its end.
    ///
    /// # Errors
    /// If the reply has no answer. The error has the usage of the reply.
    pub fn whole(mut self, body: &[u8], out: &mut VecDeque<Chunk>) -> Result<(), BilledError> {
        self.event(body, out)?;
        if !self.is_finished() {
            return Err(malformed(&"there is no choice with a finish_reason", body).into());
        }
        self.end(out)
            .map_err(|error| BilledError::new(error, self.estimate()))
    }

    fn message(&mut self, message: Message, out: &mut VecDeque<Chunk>) {
        let is_said = |text: &String| !text.is_empty();
        let reasoning = message.reasoning_content.filter(is_said);
        if let Some(text) = reasoning.or(message.reasoning) {
            self.answer.reasoning(REASONING, &text, out);
        }
        if let Some(text) = message.content.filter(is_said) {
            self.close_last_call(out);
            self.answer.text(text, out);
        }
        if let Some(text) = message.refusal.filter(is_said) {
            self.close_last_call(out);
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
            None if self.calls.len() == MAX_CALLS => {
                return self.answer.unknown("a tool call beyond the limit");
            }
            None => {
                self.calls.push(Call {
                    index,
                    ..Call::default()
                });
                self.calls.len() - 1
            }
        };
        if at != self.last_call {
            self.close_last_call(out);
        }
        self.last_call = at;
        let function = call.function.unwrap_or_default();
        let mut arguments = function.arguments.unwrap_or_default();
        if self.calls[at].ended && arguments.trim().is_empty() {
            return;
        }
        if !self.calls[at].started {
            self.calls[at].held.push_str(&arguments);
            let Some(name) = function.name.filter(|name| !name.is_empty()) else {
                return;
            };
            self.calls[at].started = true;
            arguments = std::mem::take(&mut self.calls[at].held);
            let id = call.id.unwrap_or_default();
            let id = unique_id(&id, &self.answer_id, at, self.id_form);
            self.answer.tool_start(block(at), &id, &name, None, out);
        }
        self.answer.tool_input(block(at), arguments, out);
    }

    /// Ends the call that arrived last if its arguments are complete, before something else arrives.
    fn close_last_call(&mut self, out: &mut VecDeque<Chunk>) {
        let block = block(self.last_call);
        if let Some(call) = self.calls.get_mut(self.last_call)
            && !call.ended
            && self.answer.is_input_complete(block)
        {
            call.ended = true;
            self.answer.block_stop(block, out);
        }
    }

    /// Ends the calls that are open. The fragments of several calls can alternate, so only complete arguments end a call
    /// before the answer ends. The last one stays open if the limit cut it off.
    fn close_calls(&mut self, is_cut: bool, out: &mut VecDeque<Chunk>) {
        for (at, call) in self.calls.iter().enumerate() {
            if !call.started {
                self.answer.unknown(NAMELESS);
            } else if !is_cut || at != self.last_call {
                self.answer.block_stop(block(at), out);
            }
        }
    }
}

impl EventTranslator for Translator {
    fn event(&mut self, data: &[u8], out: &mut VecDeque<Chunk>) -> Result<(), Error> {
        self.add(parse(data)?, out);
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.finish.is_some() && !self.has_failed
    }

    fn has_final_usage(&self) -> bool {
        self.usage_is_final
    }

    fn is_ended(&self) -> bool {
        self.ended
    }

    fn end(&mut self, out: &mut VecDeque<Chunk>) -> Result<(), Error> {
        let finish = self.finish.clone().unwrap_or_default();
        let reason = match finish.as_str() {
            _ if self.intervened => "guardrail_intervened",
            "stop" => "end_turn",
            "length" => "max_tokens",
            "tool_calls" | "function_call" => "tool_use",
            "content_filter" => "content_filtered",
            other => other,
        };
        self.close_calls(reason == "max_tokens", out);
        let trace = self.trace.as_ref().and_then(guardrail::trace);
        self.has_failed = true;
        self.answer.finish(Stop::new(reason, trace.as_ref()), out)?;
        (self.has_failed, self.ended) = (false, true);
        let usage = self.estimate();
        out.extend(
            trace
                .filter(|_| self.plan.show_guardrail)
                .map(Chunk::Guardrail),
        );
        out.push_back(Chunk::Usage(usage));
        Ok(())
    }

    fn estimate(&self) -> money::Usage {
        let (size, plan) = (self.answer.size, &self.plan);
        let trace = self.trace.as_ref().and_then(guardrail::trace);
        match self.ended || self.has_failed {
            true => self.counts.usage(trace.as_ref(), size, plan),
            false => self.counts.estimate(size, plan),
        }
    }
}

/// Parses a whole completion or a chunk of one.
///
/// # Errors
/// If it is not JSON, or reports a failure.
fn parse(data: &[u8]) -> Result<Completion, Error> {
    let mut completion: Completion =
        serde_json::from_slice(data).map_err(|error| malformed(&error.classify(), data))?;
    let error = completion.error.take();
    match error.as_ref().and_then(NativeError::of) {
        Some(error) => Err(error.into_event_error()),
        None => Ok(completion),
    }
}

/// Returns an id for the `nth` call of an answer that no other call of the conversation has. Some models number the calls of
/// each turn anew.
pub fn unique_id(id: &str, answer_id: &str, nth: usize, form: ToolUseIdForm) -> String {
    let is_positional = id
        .strip_prefix("call_")
        .is_some_and(|rest| rest.len() < 6 && rest.bytes().all(|byte| byte.is_ascii_digit()));
    if !id.is_empty() && !is_positional {
        return id.to_owned();
    }
    hashed_id(&format!("{answer_id} {nth}"), form).into_owned()
}

fn block(call: usize) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX - 1) + 1
}

fn tokens(usage: Usage) -> TokenUsage {
    let details = usage.prompt_tokens_details.unwrap_or_default();
    counts::buckets(
        usage.prompt_tokens,
        usage.completion_tokens,
        details.cached_tokens,
        details.cache_write_tokens,
    )
}
