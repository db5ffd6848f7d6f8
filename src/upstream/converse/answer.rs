//! Translates the content blocks of a reply into the chunks of an OpenAI answer. Whole replies and streams share this
//! code, so that both produce the same answer.

use std::{collections::VecDeque, sync::Arc};

use serde_json::{Map, Value};

use super::{
    blocks::{self, Block},
    finish::{ReplySize, finish_reason},
    open_blocks::OpenBlocks,
    plan::ReplyPlan,
    prefix::Prefix,
    text::{Piece, TextFilter},
};
use crate::{
    call::Warnings, error::Error, openai::completion::FinishReason, operation::chat::Chunk,
};

/// The type of a tool use that AWS answers. It is never passed on as a call for the client.
const SERVER_TOOL_USE: &str = "server_tool_use";

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

    /// Starts a tool use block.
    pub fn tool_start(
        &mut self,
        block: u32,
        id: &str,
        name: &str,
        kind: Option<&str>,
        out: &mut VecDeque<Chunk>,
    ) {
        self.size.reply_bytes += name.len();
        if kind == Some(SERVER_TOOL_USE) {
            let state = Block::ServerCall {
                id: id.to_owned(),
                name: name.to_owned(),
                input: String::new(),
            };
            self.blocks.open(block, state);
            return;
        }
        let plan = self.plan.clone();
        if plan.json_tool.as_deref() == Some(name) {
            let state = match self.json_tool_used {
                true => Block::Muted,
                false => Block::Json,
            };
            self.json_tool_used = true;
            self.blocks.open(block, state);
            return;
        }
        if plan.mute
            || self.filter.is_cut()
            || ((plan.one_call || plan.legacy) && self.tool_calls > 0)
        {
            self.blocks.open(block, Block::Muted);
            return;
        }
        let index = self.tool_calls;
        self.tool_calls += 1;
        let shown: Arc<str> = plan.names.get(name).map_or(name, String::as_str).into();
        let state = if plan.custom.contains(name) {
            Block::Custom {
                index,
                id: id.into(),
                name: shown.to_string(),
                input: String::new(),
            }
        } else if plan.legacy {
            out.push_back(Chunk::FunctionCall(shown));
            Block::Function {
                arguments: String::new(),
            }
        } else {
            out.push_back(Chunk::ToolCall {
                index,
                id: id.into(),
                name: shown,
            });
            Block::ToolCall {
                index,
                arguments: String::new(),
            }
        };
        self.blocks.open(block, state);
    }

    /// Adds a fragment of the JSON input of a tool use block.
    pub fn tool_input(&mut self, block: u32, fragment: String, out: &mut VecDeque<Chunk>) {
        if fragment.is_empty() {
            return;
        }
        self.size.reply_bytes += fragment.len();
        match self.blocks.get(block) {
            Some(Block::ToolCall { index, arguments }) => {
                arguments.push_str(&fragment);
                out.push_back(Chunk::ToolArguments {
                    index: *index,
                    fragment,
                });
            }
            Some(Block::Function { arguments }) => {
                arguments.push_str(&fragment);
                out.push_back(Chunk::FunctionArguments(fragment));
            }
            Some(Block::Custom { input, .. } | Block::ServerCall { input, .. }) => {
                input.push_str(&fragment)
            }
            Some(Block::Json) => self.content(fragment, out),
            Some(_) => {}
            None => self.unknown("a part of the arguments of no known tool call"),
        }
    }

    /// Adds a citation. Its text may come before or after it in the same block.
    pub fn citation(&mut self, block: u32, citation: Value) {
        let position = self.position;
        if let Some(Block::Cited { citations, .. }) =
            self.blocks.get_or_open(block, || Block::Cited {
                start: position,
                citations: Vec::new(),
            })
        {
            citations.push(citation);
        }
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
    pub fn finish(
        &mut self,
        stop_reason: &str,
        stop_sequence: Option<String>,
        out: &mut VecDeque<Chunk>,
    ) -> Result<(), Error> {
        self.check()?;
        if !self.json_tool_used && !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            self.filtered(held, out);
        }
        let mut pieces = Vec::new();
        self.filter.finish(&mut pieces);
        self.pieces(pieces, out);
        let held = self.prefix.finish();
        self.content(held, out);
        self.size.is_blocked = self.size.is_blocked_by(stop_reason);
        let empty = !self.has_content && self.tool_calls == 0;
        let reason = finish_reason(
            stop_reason,
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
        for state in self.blocks.close_all() {
            // A call that was cut off by the token limit must not look complete.
            if reason != FinishReason::Length {
                self.close(state, out);
            }
        }
        if self.plan.must_call && reason == FinishReason::Stop {
            self.warnings.add(
                "tool_choice: the model did not call a tool (the choice was only an instruction)",
            );
        }
        out.extend(
            self.filter
                .cut_at()
                .map(str::to_owned)
                .or(stop_sequence)
                .map(Chunk::StopSequence),
        );
        out.push_back(Chunk::Finish(reason));
        Ok(())
    }

    fn close(&mut self, state: Block, out: &mut VecDeque<Chunk>) {
        out.extend(state.closed(self.position, &self.warnings));
    }

    fn filtered(&mut self, text: String, out: &mut VecDeque<Chunk>) {
        if self.filter.is_idle() {
            return self.content(text, out);
        }
        let mut pieces = Vec::new();
        self.filter.push(text, &mut pieces);
        self.pieces(pieces, out);
    }

    fn pieces(&mut self, pieces: Vec<Piece>, out: &mut VecDeque<Chunk>) {
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
        self.position += text.chars().count();
        out.push_back(Chunk::Content(text));
    }
}
