//! Reasoning that plain OpenAI clients lose. Claude wants the signed reasoning before a tool call back with the call's
//! result; OpenAI's clients know nothing of it. So it is kept for a while, by the id of the call.

use std::{collections::HashMap, sync::Arc};

use quick_cache::{Weighter, sync::Cache};

use crate::{
    call::{Chunk, Model},
    openai::{chat::ChatRequest, completion, message},
    translate::Recalled,
};

/// Bytes of reasoning that are kept, and about how many calls that may be.
const CAPACITY: u64 = 32 << 20;
const CALLS: usize = 10_000;

/// Whose call it was: one caller never gets another's reasoning, nor one model another's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    key_id: String,
    target: String,
    call_id: String,
}

type Blocks = Arc<Vec<message::ThinkingBlock>>;

#[derive(Clone)]
struct Bytes;

impl Weighter<Key, Blocks> for Bytes {
    fn weight(&self, key: &Key, blocks: &Blocks) -> u64 {
        let of_block = |block: &message::ThinkingBlock| {
            block.thinking.len()
                + block.signature.as_deref().map_or(0, str::len)
                + block.data.as_deref().map_or(0, str::len)
        };
        let bytes = blocks.iter().map(of_block).sum::<usize>()
            + key.key_id.len()
            + key.target.len()
            + key.call_id.len();
        bytes as u64 + 100
    }
}

/// Bounded in memory; what is pushed out is lost, and then the call goes on without reasoning.
pub struct Thoughts(Cache<Key, Blocks, Bytes>);

impl Default for Thoughts {
    fn default() -> Self {
        Self(Cache::with_weighter(CALLS, CAPACITY, Bytes))
    }
}

impl Thoughts {
    /// What was kept for the tool calls in the history of `request`.
    pub fn recall(&self, key_id: &str, model: &Model, request: &ChatRequest) -> Recalled {
        let mut recalled = HashMap::new();
        if !model.facts.reasoning.signed {
            return recalled;
        }
        for call in request
            .messages
            .iter()
            .flat_map(|message| message.tool_calls.iter().flatten())
        {
            if let Some(blocks) = self.0.get(&key(key_id, model, &call.id)) {
                recalled.insert(call.id.clone(), blocks);
            }
        }
        recalled
    }

    /// Watches one answer.
    pub fn recorder(self: &Arc<Self>, key_id: &str, model: &Model) -> Recorder {
        let own = key(key_id, model, "");
        Recorder {
            thoughts: self.clone(),
            own,
            blocks: Vec::new(),
            calls: Vec::new(),
        }
    }
}

fn key(key_id: &str, model: &Model, call_id: &str) -> Key {
    Key {
        key_id: key_id.to_owned(),
        target: model.target.id.clone(),
        call_id: call_id.to_owned(),
    }
}

/// Keeps the signed reasoning of an answer that calls tools.
pub struct Recorder {
    thoughts: Arc<Thoughts>,
    own: Key,
    blocks: Vec<message::ThinkingBlock>,
    calls: Vec<Arc<str>>,
}

impl Recorder {
    pub fn observe(&mut self, chunk: &Chunk) {
        match chunk {
            Chunk::Thinking(block) => self.blocks.push(as_sent_back(block)),
            Chunk::ToolCall { id, .. } | Chunk::CustomToolCall { id, .. } => {
                self.calls.push(id.clone())
            }
            Chunk::Finish(_) if !self.blocks.is_empty() => {
                let blocks = Arc::new(std::mem::take(&mut self.blocks));
                for call in std::mem::take(&mut self.calls) {
                    let key = Key {
                        call_id: call.to_string(),
                        ..self.own.clone()
                    };
                    self.thoughts.0.insert(key, blocks.clone());
                }
            }
            _ => {}
        }
    }
}

fn as_sent_back(block: &completion::ThinkingBlock) -> message::ThinkingBlock {
    match block.clone() {
        completion::ThinkingBlock::Thinking {
            thinking,
            signature,
        } => message::ThinkingBlock {
            kind: "thinking".to_owned(),
            thinking,
            signature,
            data: None,
        },
        completion::ThinkingBlock::RedactedThinking { data } => message::ThinkingBlock {
            kind: "redacted_thinking".to_owned(),
            thinking: String::new(),
            signature: None,
            data: Some(data),
        },
    }
}
