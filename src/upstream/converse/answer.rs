//! What the model says, block by block, as steps of an OpenAI answer. A whole reply and a stream come through here, so
//! they cannot differ.

use std::{collections::VecDeque, sync::Arc};

use serde_json::{Map, Value};

use super::{
    blocks::{self, Block, Thought},
    finish::{Written, finish_reason},
    plan::ReplyPlan,
    text::{Piece, TextFilter},
};
use crate::{
    call::Warnings, error::Error, openai::completion::FinishReason, operation::chat::Chunk,
};

/// What AWS calls and answers itself is never the client's call.
const SERVER_TOOL_USE: &str = "server_tool_use";

/// The state of one answer.
#[derive(Debug)]
pub struct Answer {
    plan: Arc<ReplyPlan>,
    warnings: Warnings,
    filter: TextFilter,
    open: Vec<(u32, Block)>,
    thoughts: Vec<(u32, Thought)>,
    tool_calls: u32,
    json_tool_used: bool,
    /// Text beside our JSON tool: the answer only if that is never called.
    held: String,
    prefixed: bool,
    has_content: bool,
    /// Unicode code points of the content so far.
    position: usize,
    /// How much has come.
    pub written: Written,
}

impl Answer {
    pub fn new(plan: Arc<ReplyPlan>, warnings: Warnings) -> Self {
        let filter = TextFilter::new(plan.inline_tag.as_deref(), plan.unfence, &plan.stops);
        Self {
            plan,
            warnings,
            filter,
            open: Vec::new(),
            thoughts: Vec::new(),
            tool_calls: 0,
            json_tool_used: false,
            held: String::new(),
            prefixed: false,
            has_content: false,
            position: 0,
            written: Written::default(),
        }
    }

    /// The text is not the model's: what was put into its mouth does not belong to it.
    pub fn is_blocked(&mut self) {
        self.prefixed = true;
    }

    pub fn text(&mut self, text: String, out: &mut VecDeque<Chunk>) {
        if self.plan.json_tool.is_some() {
            self.held.push_str(&text);
        } else {
            self.filtered(text, out);
        }
    }

    pub fn reasoning(&mut self, block: u32, text: &str, out: &mut VecDeque<Chunk>) {
        self.thought(block).text.push_str(text);
        self.written.reasoning_bytes += text.len();
        self.written.reply_bytes += text.len();
        if !text.is_empty() {
            out.push_back(Chunk::ReasoningContent(text.to_owned()));
        }
    }

    pub fn signature(&mut self, block: u32, signature: &str) {
        self.thought(block).signature.push_str(signature);
    }

    /// Base64 of one piece; the pieces belong together as bytes.
    pub fn redacted(&mut self, block: u32, data: &str) {
        if !blocks::decode_onto(data, &mut self.thought(block).redacted) {
            self.warnings
                .add("the reply: a piece of redacted reasoning is not Base64 and was left out");
        }
    }

    pub fn tool_start(
        &mut self,
        block: u32,
        id: &str,
        name: &str,
        kind: Option<&str>,
        out: &mut VecDeque<Chunk>,
    ) {
        if kind == Some(SERVER_TOOL_USE) {
            let state = Block::ServerCall {
                id: id.to_owned(),
                name: name.to_owned(),
                input: String::new(),
            };
            self.open.push((block, state));
            return;
        }
        let plan = self.plan.clone();
        if plan.json_tool.as_deref() == Some(name) {
            let state = if self.json_tool_used {
                Block::Muted
            } else {
                Block::Json
            };
            self.json_tool_used = true;
            self.open.push((block, state));
            return;
        }
        if plan.mute
            || self.filter.is_cut()
            || ((plan.one_call || plan.legacy) && self.tool_calls > 0)
        {
            self.open.push((block, Block::Muted));
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
            Block::Function { arguments: false }
        } else {
            out.push_back(Chunk::ToolCall {
                index,
                id: id.into(),
                name: shown,
            });
            Block::ToolCall {
                index,
                arguments: false,
            }
        };
        self.open.push((block, state));
    }

    pub fn tool_input(&mut self, block: u32, fragment: String, out: &mut VecDeque<Chunk>) {
        if fragment.is_empty() {
            return;
        }
        self.written.reply_bytes += fragment.len();
        match self
            .open
            .iter_mut()
            .find(|(open, _)| *open == block)
            .map(|(_, state)| state)
        {
            Some(Block::ToolCall { index, arguments }) => {
                *arguments = true;
                out.push_back(Chunk::ToolArguments {
                    index: *index,
                    fragment,
                });
            }
            Some(Block::Function { arguments }) => {
                *arguments = true;
                out.push_back(Chunk::FunctionArguments(fragment));
            }
            Some(Block::Custom { input, .. } | Block::ServerCall { input, .. }) => {
                input.push_str(&fragment)
            }
            Some(Block::Json) => self.content(fragment, out),
            _ => {}
        }
    }

    /// A citation of the text that its block holds, or will hold.
    pub fn citation(&mut self, block: u32, citation: Value) {
        let position = self.position;
        if let Block::Cited { citations, .. } = self.block(block, || Block::Cited {
            start: position,
            citations: Vec::new(),
        }) {
            citations.push(citation);
        }
    }

    pub fn image_start(&mut self, block: u32, format: &str) {
        self.open.push((
            block,
            Block::Image {
                format: format.to_owned(),
                data: Vec::new(),
            },
        ));
    }

    /// Base64 of one piece, or an error of the service in its place.
    pub fn image_data(&mut self, block: u32, data: Option<&str>, failed: bool) {
        if failed {
            self.warnings
                .add("the reply: the model could not give one of its images");
        }
        if let (Some(data), Block::Image { data: kept, .. }) = (
            data,
            self.block(block, || Block::Image {
                format: "png".to_owned(),
                data: Vec::new(),
            }),
        ) {
            blocks::decode_onto(data, kept);
        }
    }

    /// A tool that AWS runs itself has answered.
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
        self.open.push((block, Block::ServerResult(result)));
    }

    pub fn server_result_content(&mut self, block: u32, more: Vec<Value>) {
        let open = self
            .open
            .iter_mut()
            .find(|(open, _)| *open == block)
            .map(|(_, state)| state);
        if let Some(Block::ServerResult(result)) = open
            && let Some(Value::Array(content)) = result.get_mut("content")
        {
            content.extend(more);
        }
    }

    pub fn unknown(&mut self, what: &str) {
        self.warnings.add(format!("the reply: {what} was left out"));
    }

    pub fn block_stop(&mut self, block: u32, out: &mut VecDeque<Chunk>) {
        if let Some(at) = self.thoughts.iter().position(|(open, _)| *open == block) {
            let (_, thought) = self.thoughts.swap_remove(at);
            out.extend(thought.closed(&self.plan.mark));
        }
        if let Some(at) = self.open.iter().position(|(open, _)| *open == block) {
            let (_, state) = self.open.swap_remove(at);
            self.close(state, out);
        }
    }

    /// The message has ended.
    ///
    /// # Errors
    /// Where the stop reason says that there is no answer.
    pub fn finish(
        &mut self,
        stop_reason: &str,
        stop_sequence: Option<String>,
        out: &mut VecDeque<Chunk>,
    ) -> Result<(), Error> {
        if !self.json_tool_used && !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            self.filtered(held, out);
        }
        let mut pieces = Vec::new();
        self.filter.finish(&mut pieces);
        self.pieces(pieces, out);
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
        for (_, state) in std::mem::take(&mut self.open) {
            // A call that was cut off must not look complete.
            if reason != FinishReason::Length {
                self.close(state, out);
            }
        }
        if self.plan.must_call && reason == FinishReason::Stop {
            self.warnings
                .add("tool_choice: the model was told to call a tool, and did not");
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

    fn thought(&mut self, index: u32) -> &mut Thought {
        let at = self
            .thoughts
            .iter()
            .position(|(open, _)| *open == index)
            .unwrap_or_else(|| {
                self.thoughts.push((index, Thought::default()));
                self.thoughts.len() - 1
            });
        &mut self.thoughts[at].1
    }

    fn block(&mut self, index: u32, new: impl FnOnce() -> Block) -> &mut Block {
        let at = self
            .open
            .iter()
            .position(|(open, _)| *open == index)
            .unwrap_or_else(|| {
                self.open.push((index, new()));
                self.open.len() - 1
            });
        &mut self.open[at].1
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
                    self.written.reasoning_bytes += text.len();
                    self.written.reply_bytes += text.len();
                    out.push_back(Chunk::ReasoningContent(text));
                }
            }
        }
    }

    fn content(&mut self, mut text: String, out: &mut VecDeque<Chunk>) {
        if text.is_empty() {
            return;
        }
        if !self.prefixed {
            self.prefixed = true;
            text.insert_str(0, self.plan.prefix.unwrap_or_default());
        }
        self.has_content = true;
        self.position += text.chars().count();
        self.written.reply_bytes += text.len();
        out.push_back(Chunk::Content(text));
    }
}
