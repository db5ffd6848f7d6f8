//! Puts the blocks of an answer one after the other. The fragments of several calls can alternate, and text can stand between
//! them, but some APIs allow only one open block at a time.

use std::collections::{HashMap, VecDeque};

use crate::operation::chat::Chunk;

/// The order of one answer. Blocks that begin while a call is open wait for its end.
#[derive(Debug, Default)]
pub struct BlockOrder {
    /// The number of the open call.
    open: Option<u32>,
    /// In the order in which they began.
    waiting: VecDeque<Waiting>,
    /// Where the calls wait, counted from the first block that ever waited.
    places: HashMap<u32, usize>,
    /// The blocks that no longer wait.
    released: usize,
}

#[derive(Debug)]
struct Waiting {
    /// The number of the call. `None` for other content.
    call: Option<u32>,
    chunks: Vec<Chunk>,
}

/// What a chunk belongs to.
enum Owner {
    Call(u32),
    Other,
    /// The answer as a whole, at any time.
    Reply,
    /// The end of the answer.
    End,
}

impl BlockOrder {
    /// Adds a chunk, and emits those whose turn it is. A call whose end never comes ends with the answer.
    pub fn push(&mut self, chunk: Chunk, emit: &mut dyn FnMut(Chunk)) {
        match owner(&chunk) {
            Owner::Reply => emit(chunk),
            Owner::End => {
                while self.open.take().is_some() {
                    self.release(emit);
                }
                emit(chunk);
            }
            Owner::Call(call) if self.open.is_none_or(|open| open == call) => {
                self.pass(call, chunk, emit);
                self.release(emit);
            }
            Owner::Call(call) => self.wait_for_call(call, chunk),
            Owner::Other if self.open.is_none() => emit(chunk),
            Owner::Other => match self.waiting.back_mut() {
                Some(Waiting { call: None, chunks }) => chunks.push(chunk),
                _ => self.waiting.push_back(Waiting {
                    call: None,
                    chunks: vec![chunk],
                }),
            },
        }
    }

    fn wait_for_call(&mut self, call: u32, chunk: Chunk) {
        let place = self.places.get(&call).copied();
        let place = place.and_then(|place| place.checked_sub(self.released));
        match place.and_then(|place| self.waiting.get_mut(place)) {
            Some(waiting) => waiting.chunks.push(chunk),
            None => {
                let place = self.released + self.waiting.len();
                self.places.insert(call, place);
                self.waiting.push_back(Waiting {
                    call: Some(call),
                    chunks: vec![chunk],
                });
            }
        }
    }

    /// Emits a chunk of the open call, or of one that it opens.
    fn pass(&mut self, call: u32, chunk: Chunk, emit: &mut dyn FnMut(Chunk)) {
        match chunk {
            Chunk::ToolCall { .. } | Chunk::CustomToolStart { .. } => self.open = Some(call),
            Chunk::ToolCallEnd { .. } | Chunk::CustomToolCall { .. } => self.open = None,
            _ => {}
        }
        emit(chunk);
    }

    /// Emits what waits, up to the first call that has not ended.
    fn release(&mut self, emit: &mut dyn FnMut(Chunk)) {
        while self.open.is_none()
            && let Some(Waiting { call, chunks }) = self.waiting.pop_front()
        {
            self.released += 1;
            for chunk in chunks {
                match call {
                    Some(call) => self.pass(call, chunk, emit),
                    None => emit(chunk),
                }
            }
        }
    }
}

fn owner(chunk: &Chunk) -> Owner {
    match chunk {
        Chunk::ToolCall { index, .. }
        | Chunk::ToolArguments { index, .. }
        | Chunk::ToolCallEnd { index }
        | Chunk::CustomToolStart { index, .. }
        | Chunk::CustomToolInput { index, .. }
        | Chunk::CustomToolCall { index, .. } => Owner::Call(*index),
        Chunk::Guardrail(_) | Chunk::Usage(_) => Owner::Reply,
        Chunk::StopSequence(_)
        | Chunk::StopDetails(_)
        | Chunk::WindowExceeded
        | Chunk::Blocked
        | Chunk::Finish(_) => Owner::End,
        Chunk::Content(_)
        | Chunk::CitedContent(..)
        | Chunk::ReasoningContent(_)
        | Chunk::Thinking(_)
        | Chunk::Annotations(_)
        | Chunk::Logprobs(_)
        | Chunk::Image(_)
        | Chunk::FunctionCall(_)
        | Chunk::FunctionArguments(_)
        | Chunk::ServerTool(_) => Owner::Other,
    }
}

#[cfg(test)]
mod tests;
