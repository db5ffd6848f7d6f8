//! Events of ConverseStream into chunks.

use std::{borrow::Cow, collections::VecDeque};

use serde::Deserialize;

use super::reply::{SERVER_TOOL_USE, estimate, finish_reason, usage};
use crate::{
    call::{Chunk, Notes},
    converse::event::{ContentBlockDelta, ContentBlockStart, ContentBlockStop, MessageStop, Metadata},
    error::{Error, Kind},
    openai::completion::FinishReason,
};

/// The state of one streamed reply. Blocks may interleave, `messageStart` may be missing, and `metadata` may come
/// before `messageStop`: all of it has been recorded from the service.
#[derive(Debug)]
pub struct StreamTranslator {
    notes: Notes,
    request_bytes: usize,
    reply_bytes: usize,
    /// Text for the client has come, reasoning aside.
    has_content: bool,
    blocks: Vec<(u32, Block)>,
    tool_calls: u32,
    stopped: bool,
    usage: UsageState,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Block {
    ToolCall {
        index: u32,
        arguments: bool,
    },
    /// A tool that AWS runs itself: takes no index and is not passed on.
    ServerSide,
}

#[derive(Debug)]
enum UsageState {
    Unknown,
    /// Came before `messageStop`; goes out after the finish.
    Held(crate::call::Usage),
    Sent,
}

impl StreamTranslator {
    /// `request_bytes` bounds the estimate that is made when the service tells no usage.
    pub fn new(request_bytes: usize, notes: Notes) -> Self {
        Self {
            notes,
            request_bytes,
            reply_bytes: 0,
            has_content: false,
            blocks: Vec::new(),
            tool_calls: 0,
            stopped: false,
            usage: UsageState::Unknown,
        }
    }

    /// The message has ended; its usage may still come.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Everything that belongs to a complete reply has come.
    pub fn is_complete(&self) -> bool {
        self.stopped && matches!(self.usage, UsageState::Sent)
    }

    /// Takes one event; puts what follows from it into `out`. Unknown events are ignored.
    ///
    /// # Errors
    /// Where the payload is not what its type promises.
    pub fn event(&mut self, event_type: &str, payload: &[u8], out: &mut VecDeque<Chunk>) -> Result<(), Error> {
        match event_type {
            "contentBlockDelta" => self.delta(parse(payload)?, out),
            "contentBlockStart" => self.start(parse(payload)?, out),
            "contentBlockStop" => self.stop(&parse(payload)?, out),
            "messageStop" => return self.message_stop(&parse(payload)?, out),
            "metadata" => self.metadata(&parse(payload)?, out),
            _ => {}
        }
        Ok(())
    }

    /// The byte stream has ended.
    ///
    /// # Errors
    /// If it ended before the message did.
    pub fn end(&mut self, out: &mut VecDeque<Chunk>) -> Result<(), Error> {
        if !self.stopped {
            return Err(Error::new(Kind::Upstream, "Bedrock ended the stream before the answer was complete.")
                .with_code("upstream_truncated"));
        }
        if !matches!(self.usage, UsageState::Sent) {
            self.usage = UsageState::Sent;
            out.push_back(Chunk::Usage(estimate(self.request_bytes, self.reply_bytes)));
        }
        Ok(())
    }

    fn delta(&mut self, event: ContentBlockDelta<'_>, out: &mut VecDeque<Chunk>) {
        if let Some(text) = event.delta.text {
            self.has_content |= !text.is_empty();
            self.text(text, Chunk::Content, out);
        }
        if let Some(text) = event.delta.reasoning_content.and_then(|reasoning| reasoning.text) {
            self.text(text, Chunk::ReasoningContent, out);
        }
        if let Some(tool) = event.delta.tool_use
            && !tool.input.is_empty()
            && let Some(Block::ToolCall { index, arguments }) = self.block(event.content_block_index)
        {
            *arguments = true;
            let index = *index;
            self.text(tool.input, |fragment| Chunk::ToolArguments { index, fragment }, out);
        }
    }

    fn text(&mut self, text: Cow<'_, str>, chunk: impl FnOnce(String) -> Chunk, out: &mut VecDeque<Chunk>) {
        if !text.is_empty() {
            self.reply_bytes += text.len();
            out.push_back(chunk(text.into_owned()));
        }
    }

    fn start(&mut self, event: ContentBlockStart<'_>, out: &mut VecDeque<Chunk>) {
        let Some(tool) = event.start.tool_use else { return };
        if tool.kind.as_deref() == Some(SERVER_TOOL_USE) {
            self.blocks.push((event.content_block_index, Block::ServerSide));
            return;
        }
        let index = self.tool_calls;
        self.tool_calls += 1;
        self.blocks.push((event.content_block_index, Block::ToolCall { index, arguments: false }));
        out.push_back(Chunk::ToolCall { index, id: tool.tool_use_id.into(), name: tool.name.into() });
    }

    fn stop(&mut self, event: &ContentBlockStop, out: &mut VecDeque<Chunk>) {
        let Some(at) = self.blocks.iter().position(|(block, _)| *block == event.content_block_index) else { return };
        let (_, block) = self.blocks.swap_remove(at);
        close(block, out);
    }

    fn message_stop(&mut self, event: &MessageStop<'_>, out: &mut VecDeque<Chunk>) -> Result<(), Error> {
        let empty = !self.has_content && self.tool_calls == 0;
        let reason = finish_reason(&event.stop_reason, self.tool_calls > 0, empty, &self.notes)?;
        self.stopped = true;
        for (_, block) in std::mem::take(&mut self.blocks) {
            // A call that was cut off must not look complete.
            if reason != FinishReason::Length {
                close(block, out);
            }
        }
        out.push_back(Chunk::Finish(reason));
        if let UsageState::Held(usage) = self.usage {
            self.usage = UsageState::Sent;
            out.push_back(Chunk::Usage(usage));
        }
        Ok(())
    }

    fn metadata(&mut self, event: &Metadata, out: &mut VecDeque<Chunk>) {
        let Some(counted) = event.usage.map(usage) else { return };
        if self.stopped {
            self.usage = UsageState::Sent;
            out.push_back(Chunk::Usage(counted));
        } else {
            self.usage = UsageState::Held(counted);
        }
    }

    fn block(&mut self, index: u32) -> Option<&mut Block> {
        self.blocks.iter_mut().find(|(block, _)| *block == index).map(|(_, block)| block)
    }
}

/// A tool without parameters gets no delta, but its arguments are an object all the same.
fn close(block: Block, out: &mut VecDeque<Chunk>) {
    if let Block::ToolCall { index, arguments: false } = block {
        out.push_back(Chunk::ToolArguments { index, fragment: "{}".to_owned() });
    }
}

fn parse<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(payload).map_err(|error| {
        Error::new(Kind::Upstream, "Bedrock sent an event that could not be read.")
            .with_code("upstream_malformed")
            // Neither the payload nor serde's text: both hold what the model said.
            .with_detail(format!(
                "{:?} at column {} of an event of {} bytes",
                error.classify(),
                error.column(),
                payload.len()
            ))
    })
}
