//! The state of one reply, which the readers of all families fill.

use std::{borrow::Cow, collections::VecDeque, sync::Arc};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{guardrail, headers::ReplyHeaders};
use crate::{
    bedrock::reply::TokenUsage,
    call::Warnings,
    error::{Error, Kind, RetryAdvice},
    money::Usage,
    operation::chat::Chunk,
    upstream::{
        converse::{
            CallIds, ReplyPlan,
            answer::Answer,
            finish::{self, Stop, Terms},
            reported::Reported,
        },
        native::unique_id,
    },
};

/// Reads the replies of one family.
pub trait Reader: Send {
    /// Reads a whole reply.
    ///
    /// # Errors
    /// If the body does not have the family's form.
    fn whole(&mut self, body: &[u8], reply: &mut Reply) -> Result<(), Error>;

    /// Reads one event of a stream.
    ///
    /// # Errors
    /// If the event does not have the family's form, or reports a failure.
    fn event(&mut self, event: &[u8], reply: &mut Reply) -> Result<(), Error>;
}

/// Token counts, as far as they are known. `input` is without what was read from and written to the cache.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub input: Option<i64>,
    pub output: Option<i64>,
    pub cache_read: Option<i64>,
    pub cache_write: Option<i64>,
    pub cache_write_1h: Option<i64>,
    /// The uses of tools that AWS runs.
    pub server_tool_uses: Option<i64>,
}

impl Counts {
    /// Returns these counts, and those of `other` where these are unknown.
    pub fn or(self, other: Self) -> Self {
        Self {
            input: self.input.or(other.input),
            output: self.output.or(other.output),
            cache_read: self.cache_read.or(other.cache_read),
            cache_write: self.cache_write.or(other.cache_write),
            cache_write_1h: self.cache_write_1h.or(other.cache_write_1h),
            server_tool_uses: self.server_tool_uses.or(other.server_tool_uses),
        }
    }

    /// Returns the counts as Converse reports them.
    pub fn usage(self) -> TokenUsage {
        let cache_details = self.cache_write_1h.map(|input_tokens| {
            vec![crate::bedrock::reply::CacheDetail {
                ttl: "1h".to_owned(),
                input_tokens,
            }]
        });
        TokenUsage {
            input_tokens: self.input.unwrap_or(0),
            output_tokens: self.output.unwrap_or(0),
            cache_read_input_tokens: self.cache_read,
            cache_write_input_tokens: self.cache_write,
            cache_details,
            server_tool_usage: self
                .server_tool_uses
                .map(|uses| ("all".to_owned(), uses))
                .into_iter()
                .collect(),
            ..TokenUsage::default()
        }
    }

    /// Returns whether input and output are known.
    pub fn is_complete(self) -> bool {
        self.input.is_some() && self.output.is_some()
    }
}

/// The members that Bedrock adds to the body of any family.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Envelope {
    #[serde(rename = "amazon-bedrock-guardrailAction")]
    guardrail_action: Option<String>,
    #[serde(rename = "amazon-bedrock-trace")]
    trace: Option<Value>,
    /// In the last event of a stream.
    #[serde(rename = "amazon-bedrock-invocationMetrics")]
    metrics: Option<InvocationMetrics>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct InvocationMetrics {
    input_token_count: Option<i64>,
    output_token_count: Option<i64>,
    cache_read_input_token_count: Option<i64>,
    cache_write_input_token_count: Option<i64>,
}

impl Envelope {
    /// Returns the counts of the last event of a stream.
    pub fn counts(&self) -> Option<Counts> {
        let metrics = self.metrics.as_ref()?;
        Some(Counts {
            input: metrics.input_token_count,
            output: metrics.output_token_count,
            cache_read: metrics.cache_read_input_token_count,
            cache_write: metrics.cache_write_input_token_count,
            ..Counts::default()
        })
    }
}

/// One reply: its answer, and what is known about its end and its usage.
pub struct Reply {
    plan: Arc<ReplyPlan>,
    warnings: Warnings,
    headers: ReplyHeaders,
    pub answer: Answer,
    /// The chunks that nobody has taken yet.
    pub chunks: VecDeque<Chunk>,
    /// The counts in the body. Later counts replace earlier ones.
    counts: Counts,
    /// The output in `counts` arrived in the event that ended the message, or later.
    is_counted: bool,
    metrics: Option<Counts>,
    /// Reasoning tokens, if the body reports them.
    reasoning: Option<u64>,
    /// The stop reason in Converse's words, and the stop sequence.
    stop: Option<(String, Option<String>)>,
    /// Why the model refused, if the body reports it.
    details: Option<Value>,
    intervened: bool,
    trace: Option<Value>,
    finished: bool,
}

impl Reply {
    /// Creates the state for a reply with these headers.
    pub fn new(plan: Arc<ReplyPlan>, warnings: Warnings, headers: ReplyHeaders) -> Self {
        Self {
            answer: Answer::new(plan.clone(), warnings.clone()),
            plan,
            warnings,
            headers,
            chunks: VecDeque::new(),
            counts: Counts::default(),
            is_counted: false,
            metrics: None,
            reasoning: None,
            stop: None,
            details: None,
            intervened: false,
            trace: None,
            finished: false,
        }
    }

    /// Adds text of the model.
    pub fn text(&mut self, text: String) {
        if !text.is_empty() {
            self.answer.text(text, &mut self.chunks);
        }
    }

    /// Adds reasoning text.
    pub fn thinking(&mut self, block: u32, text: &str) {
        self.answer.reasoning(block, text, &mut self.chunks);
    }

    /// Adds citations of a part of the text, of which `start` and `end` are in characters.
    pub fn citations(&mut self, start: usize, end: usize, citations: Vec<Value>) {
        self.answer
            .citations(start, end, citations, &mut self.chunks);
    }

    /// Adds the log probabilities of tokens, each as JSON.
    pub fn logprobs(&mut self, entries: &[Box<RawValue>]) {
        self.answer.logprobs(entries, &mut self.chunks);
    }

    /// Starts a tool call. A call that the model numbers in each turn anew, or not at all, gets an id of its own.
    pub fn tool_start(&mut self, block: u32, id: &str, name: &str) {
        let id = match &self.plan.call_ids {
            Some(CallIds { answer, form }) => {
                Cow::Owned(unique_id(id, answer, block as usize, *form))
            }
            None => Cow::Borrowed(id),
        };
        self.answer
            .tool_start(block, &id, name, None, &mut self.chunks);
    }

    /// Adds a fragment of the JSON input of a tool call.
    pub fn tool_input(&mut self, block: u32, fragment: String) {
        self.answer.tool_input(block, fragment, &mut self.chunks);
    }

    /// Ends a content block.
    pub fn block_stop(&mut self, block: u32) {
        self.answer.block_stop(block, &mut self.chunks);
    }

    /// Sets the stop reason, in Converse's words.
    pub fn stop(&mut self, reason: &str, sequence: Option<String>) {
        // An empty reason is none.
        if reason.is_empty() {
            return;
        }
        self.stop = Some((reason.to_owned(), sequence));
    }

    /// Sets why the model refused, if the body reports it.
    pub fn stop_details(&mut self, details: Option<Value>) {
        self.details = details.or(self.details.take());
    }

    /// Adds token counts of the body.
    pub fn count(&mut self, counts: Counts) {
        self.is_counted |= counts.output.is_some();
        self.counts = counts.or(self.counts);
    }

    /// Sets the number of reasoning tokens, if the body reports it.
    pub fn count_reasoning(&mut self, tokens: Option<u64>) {
        self.reasoning = tokens.or(self.reasoning);
    }

    /// Begins to read a body or an event: reads the members that Bedrock adds to it.
    pub fn envelope(&mut self, envelope: Envelope) {
        self.is_counted &= self.stop.is_some();
        if envelope.guardrail_action.as_deref() == Some("INTERVENED") {
            self.intervened = true;
            self.answer.skip_prefix();
        }
        self.metrics = envelope.counts().or(self.metrics);
        if let Some(trace) = envelope.trace {
            self.trace = guardrail::converse_trace(trace).or(self.trace.take());
        }
    }

    /// Returns whether the last event has come: the message has ended, and the metrics are there.
    pub fn is_last(&self) -> bool {
        self.is_stopped() && self.metrics.is_some()
    }

    /// Returns whether the message has ended.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_some() || (self.intervened && self.metrics.is_some())
    }

    /// Returns whether the finish reason and the usage were added.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Adds the finish reason, the guardrail's trace and the usage, once.
    ///
    /// # Errors
    /// If the message is incomplete, or its stop reason means that there is no answer.
    pub fn finish(&mut self) -> Result<(), Error> {
        if self.finished {
            return Ok(());
        }
        let (reason, sequence) = self.end().ok_or_else(incomplete)?;
        let stop = self.ended(&reason, sequence);
        self.answer.finish(stop, &mut self.chunks)?;
        self.finished = true;
        let usage = self.usage();
        let shown = self.trace.take().filter(|_| self.plan.show_guardrail);
        self.chunks.extend(shown.map(Chunk::Guardrail));
        self.chunks.push_back(Chunk::Usage(usage));
        Ok(())
    }

    /// Returns the usage of a reply that has ended, also if it is no answer that a chat could have.
    pub fn settle(&mut self) -> Usage {
        if let Some((reason, sequence)) = self.end() {
            let stop = self.ended(&reason, sequence);
            // Only what it records about the size of the answer matters.
            let _ = self.answer.finish(stop, &mut self.chunks);
        }
        self.usage()
    }

    /// Returns whether the counts of the last event have come.
    pub fn has_metrics(&self) -> bool {
        self.metrics.is_some()
    }

    fn ended<'r>(&mut self, reason: &'r str, sequence: Option<String>) -> Stop<'r> {
        Stop {
            sequence,
            details: self.details.take(),
            ..Stop::new(reason, self.trace.as_ref())
        }
    }

    /// The stop reason in Converse's words, and the stop sequence.
    fn end(&self) -> Option<(String, Option<String>)> {
        match self.intervened {
            true => Some(("guardrail_intervened".to_owned(), None)),
            false => self.stop.clone(),
        }
    }

    /// Returns the usage of a reply that has ended: of the metrics, the headers and the body, in this order, or else an estimate.
    pub fn usage(&self) -> Usage {
        let metrics = self.metrics.unwrap_or_default();
        let counts = metrics.or(self.headers.counts).or(self.counts);
        let is_output_final =
            metrics.output.or(self.headers.counts.output).is_some() || self.is_counted;
        let mut reported = Reported::default();
        for source in [self.counts, self.headers.counts] {
            reported.add(source.usage(), false);
        }
        reported.add(counts.usage(), is_output_final && counts.is_complete());
        self.usage_of(&reported)
    }

    /// Returns the usage of a reply that broke off. The counts so far may be too low.
    pub fn estimate(&self) -> Usage {
        // The metrics come in the last event, also in one that reports a failure.
        if self.stop.is_some() || self.metrics.is_some() {
            return self.usage();
        }
        let mut reported = Reported::default();
        reported.add(self.counts.usage(), false);
        self.usage_of(&reported)
    }

    fn usage_of(&self, reported: &Reported) -> Usage {
        let terms = Terms {
            tier: self.headers.tier(),
            performance: self.headers.performance(),
            router: None,
            guardrail: self.trace.as_ref(),
        };
        finish::usage(
            reported,
            terms,
            self.reasoning,
            self.answer.size,
            &self.plan,
        )
    }

    /// Warns about content that the gateway cannot pass on.
    pub fn unknown(&mut self) {
        self.answer
            .unknown("content of a type unknown to this version");
    }

    /// Checks that the answer does not go on for ever.
    ///
    /// # Errors
    /// 502 if it has more content blocks than any answer.
    pub fn check(&self) -> Result<(), Error> {
        self.answer.check()
    }

    /// The warnings for the client.
    pub fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// How to decode the reply.
    pub fn plan(&self) -> &ReplyPlan {
        &self.plan
    }
}

fn incomplete() -> Error {
    Error::new(
        Kind::Upstream,
        "Bedrock ended the stream before the answer was complete.",
    )
    .with_code("upstream_truncated")
    .with_retry_advice(RetryAdvice::Often)
    .may_be_billed()
}
