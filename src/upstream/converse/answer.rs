//! Translates the content blocks of a reply into the chunks of an OpenAI answer. Whole replies and streams share this
//! code, so that both produce the same answer.

mod calls;

use std::{collections::VecDeque, sync::Arc};

use serde_json::{Map, Value, value::RawValue};

use super::{
    blocks::{self, Block},
    finish::{Intervention, ReplySize, Stop, WINDOW_EXCEEDED, finish_reason},
    open_blocks::OpenBlocks,
    plan::ReplyPlan,
    prefix::Prefix,
    text::{Piece, TextFilter},
};
use crate::{
    call::Warnings, error::Error, openai::completion::FinishReason, operation::chat::Chunk,
};

/// The state of one answer.
#[derive(Debug)]
pub struct Answer {
    plan: Arc<ReplyPlan>,
    warnings: Warnings,
    filter: TextFilter,
    blocks: OpenBlocks,
    tool_calls: u32,
    json_tool_used: bool,
    /// Text held back while the request forces the JSON tool. It becomes the answer only if the model never calls the tool.
    held: String,
    prefix: Prefix,
    has_content: bool,
    has_logprobs: bool,
    /// The chunks of content so far.
    pieces: usize,
    /// Unicode code points of the content so far.
    position: usize,
    /// Size of the reply so far.
    pub size: ReplySize,
}

impl Answer {
    /// Creates the state for one reply.
    pub fn new(plan: Arc<ReplyPlan>, warnings: Warnings) -> Self {
        let filter = TextFilter::new(plan.inline_tag.as_deref(), plan.unfence, &plan.stops);
        let prefix = Prefix::new(plan.prefix);
        Self {
            plan,
            warnings,
            filter,
            blocks: OpenBlocks::default(),
            tool_calls: 0,
            json_tool_used: false,
            held: String::new(),
            prefix,
            has_content: false,
            has_logprobs: false,
            pieces: 0,
            position: 0,
            size: ReplySize::default(),
        }
    }

    /// Checks that the answer does not go on for ever.
    ///
    /// # Errors
    /// 502 if it has more content blocks than any answer.
    pub fn check(&self) -> Result<(), Error> {
        self.blocks.check()
    }

    /// Leaves the prefill out of the content, because the text comes from a guardrail and not from the model.
    pub fn skip_prefix(&mut self) {
        self.prefix.skip();
    }

    /// Adds text of the model.
    pub fn text(&mut self, text: String, out: &mut VecDeque<Chunk>) {
        // Counted here, because filters can remove text that is billed.
        self.size.reply_bytes += text.len();
        if self.plan.json_tool.is_some() {
            self.held.push_str(&text);
        } else {
            self.filtered(text, out);
        }
    }

    /// Adds the log probabilities of tokens, each as JSON.
    pub fn logprobs(&mut self, entries: &[Box<RawValue>], out: &mut VecDeque<Chunk>) {
        let entries: Vec<&str> = entries.iter().map(|entry| entry.get()).collect();
        if !entries.is_empty() {
            self.has_logprobs = true;
            out.push_back(Chunk::Logprobs(entries.join(",")));
        }
    }

    /// Adds reasoning text.
    pub fn reasoning(&mut self, block: u32, text: &str, out: &mut VecDeque<Chunk>) {
        self.blocks.reasoning(block).text.push_str(text);
        self.size.reasoning_bytes += text.len();
        self.size.reply_bytes += text.len();
        if !text.is_empty() {
            out.push_back(Chunk::ReasoningContent(text.to_owned()));
        }
    }

    /// Adds a piece of the signature of a reasoning block.
    pub fn signature(&mut self, block: u32, signature: &str) {
        self.blocks.reasoning(block).signature.push_str(signature);
    }

    /// Adds a piece of redacted reasoning. Each piece is Base64 on its own, so pieces are joined as bytes.
    pub fn redacted(&mut self, block: u32, data: &str) {
        if !blocks::decode_onto(data, &mut self.blocks.reasoning(block).redacted) {
            self.warnings
                .add("reply: a piece of redacted reasoning was left out (it is not valid Base64)");
        }
    }

    /// Adds a citation. Its text may come before or after it in the same block.
    pub fn citation(&mut self, block: u32, citation: Value) {
        self.blocks.cite(block, self.position, citation);
    }

    /// Adds citations of a part of the text that has come. `start` and `end` are in Unicode code points of the content.
    pub fn citations(
        &mut self,
        start: usize,
        end: usize,
        citations: Vec<Value>,
        out: &mut VecDeque<Chunk>,
    ) {
        let end = end.min(self.position);
        let block = Block::Cited {
            start: start.min(end),
            citations,
        };
        block.close(end, &self.warnings, out);
    }

    /// Starts an image block.
    pub fn image_start(&mut self, block: u32, format: &str) {
        self.blocks.open(
            block,
            Block::Image {
                format: format.to_owned(),
                data: Vec::new(),
            },
        );
    }

    /// Adds a piece of an image as Base64. `failed` means that the service sent an error instead.
    pub fn image_data(&mut self, block: u32, data: Option<&str>, failed: bool) {
        if failed {
            self.warnings
                .add("reply: an image was left out (the model failed to generate it)");
        }
        if let (Some(data), Some(Block::Image { data: kept, .. })) = (
            data,
            self.blocks.get_or_open(block, || Block::Image {
                format: "png".to_owned(),
                data: Vec::new(),
            }),
        ) {
            blocks::decode_onto(data, kept);
        }
    }

    /// Starts the result of a tool that AWS runs.
    pub fn server_result(
        &mut self,
        block: u32,
        id: String,
        kind: Option<String>,
        status: Option<String>,
    ) {
        let mut result = Map::new();
        result.insert("toolUseId".to_owned(), id.into());
        result.insert("content".to_owned(), Value::Array(Vec::new()));
        result.extend(kind.map(|kind| ("type".to_owned(), kind.into())));
        result.extend(status.map(|status| ("status".to_owned(), status.into())));
        self.blocks.open(block, Block::ServerResult(result));
    }

    /// Adds content to the result of a tool that AWS runs.
    pub fn server_result_content(&mut self, block: u32, more: Vec<Value>) {
        if let Some(Block::ServerResult(result)) = self.blocks.get(block)
            && let Some(Value::Array(content)) = result.get_mut("content")
        {
            // Clients send the result back, and only these types can be part of a request.
            let (kept, other): (Vec<_>, Vec<_>) =
                more.into_iter().partition(blocks::is_text_or_json);
            content.extend(kept);
            if !other.is_empty() {
                self.unknown("content of a tool result that is neither text nor JSON");
            }
        }
    }

    /// Warns about content that the gateway cannot pass on.
    pub fn unknown(&mut self, what: &str) {
        self.warnings.add(format!("reply: {what} was left out"));
    }

    /// Ends a content block.
    pub fn block_stop(&mut self, block: u32, out: &mut VecDeque<Chunk>) {
        if let Some(reasoning) = self.blocks.close_reasoning(block) {
            out.extend(reasoning.closed(&self.plan.mark));
        }
        if let Some(state) = self.blocks.close(block) {
            self.close(state, out);
        }
    }

    /// Ends the message.
    ///
    /// # Errors
    /// If the stop reason means that there is no answer.
    pub fn finish(&mut self, stop: Stop<'_>, out: &mut VecDeque<Chunk>) -> Result<(), Error> {
        self.check()?;
        let stop_reason = stop.reason;
        if !self.json_tool_used && !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            self.filtered(held, out);
        }
        let mut pieces = Vec::new();
        self.filter.finish(&mut pieces);
        self.add_pieces(pieces, out);
        let held = self.prefix.finish();
        self.content(held, out);
        self.size.is_blocked = self.size.is_blocked_by(stop_reason);
        let empty = !self.has_content && self.tool_calls == 0;
        let reason = finish_reason(
            &stop,
            self.tool_calls > 0,
            empty,
            self.plan.legacy,
            &self.warnings,
        )?;
        let reason = if self.filter.is_cut() && self.tool_calls == 0 {
            FinishReason::Stop
        } else {
            reason
        };
        if let Some(limit) = self.plan.own_limit.filter(|_| stop_reason == "max_tokens") {
            self.warnings.add(format!(
                "max_tokens: the answer was cut off at {limit} tokens (a limit of this gateway, because the request sets none; send one for a longer answer)"
            ));
        }
        if self.plan.logprobs && self.has_content && !self.has_logprobs {
            self.warnings
                .add("logprobs: null (the model reported no log probabilities)");
        }
        for state in self.blocks.close_all() {
            // A call that was cut off by the token limit must not look complete. That of a custom tool says what it is.
            if reason != FinishReason::Length || state.is_cut_input() {
                self.close(state, out);
            }
        }
        if self.plan.must_call && reason == FinishReason::Stop {
            self.warnings.add(
                "tool_choice: the model did not call a tool (the choice was only an instruction)",
            );
        }
        let sequence = self.filter.cut_at().map(str::to_owned).or(stop.sequence);
        if sequence.is_some() || stop_reason == "stop_sequence" {
            out.push_back(Chunk::StopSequence(sequence));
        }
        out.extend(stop.details.map(Chunk::StopDetails));
        if stop_reason == WINDOW_EXCEEDED {
            out.push_back(Chunk::WindowExceeded);
        }
        if reason == FinishReason::ContentFilter && self.is_blocked(stop.intervention, empty) {
            out.push_back(Chunk::Blocked);
        }
        out.push_back(Chunk::Finish(reason));
        Ok(())
    }

    /// Reports whether nothing in the answer is the model's.
    fn is_blocked(&self, intervention: Option<Intervention>, is_empty: bool) -> bool {
        is_empty
            || self.tool_calls == 0
                && match intervention {
                    None | Some(Intervention::Masked) => false,
                    Some(Intervention::Input) => true,
                    // Its message is one piece. Before it, a stream may have text that the guardrail has passed.
                    Some(Intervention::Other) => self.pieces == 1,
                }
    }

    fn close(&mut self, state: Block, out: &mut VecDeque<Chunk>) {
        state.close(self.position, &self.warnings, out);
    }

    fn filtered(&mut self, text: String, out: &mut VecDeque<Chunk>) {
        if self.filter.is_idle() {
            return self.content(text, out);
        }
        let mut pieces = Vec::new();
        self.filter.push(text, &mut pieces);
        self.add_pieces(pieces, out);
    }

    fn add_pieces(&mut self, pieces: Vec<Piece>, out: &mut VecDeque<Chunk>) {
        for piece in pieces {
            match piece {
                Piece::Content(text) => self.content(text, out),
                Piece::Reasoning(text) => {
                    self.size.reasoning_bytes += text.len();
                    out.push_back(Chunk::ReasoningContent(text));
                }
            }
        }
    }

    fn content(&mut self, text: String, out: &mut VecDeque<Chunk>) {
        let text = self.prefix.push(text);
        if text.is_empty() {
            return;
        }
        self.has_content = true;
        self.pieces += 1;
        self.position += text.chars().count();
        out.push_back(Chunk::Content(text));
    }
}
