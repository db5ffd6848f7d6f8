//! The reasoning of a turn in sealed form, as `encrypted_content` carries it.

use serde::{Deserialize, Serialize};

use crate::{
    edge::seal::{Purpose, Seals},
    openai::completion::ThinkingBlock,
    operation::chat::{Part, RedactedThinking, Thinking},
};

/// A block of reasoning. The names are short, because clients carry them with every request.
#[derive(Debug, Deserialize, Serialize)]
enum Block {
    /// Text and signature.
    #[serde(rename = "t")]
    Thinking(String, Option<String>),
    /// Encrypted by the model.
    #[serde(rename = "r")]
    Redacted(String),
}

/// Seals a run of reasoning for `key_id`. Returns `None` if there is none, or if it is too long.
pub fn seal(blocks: &[ThinkingBlock], seals: &Seals, key_id: &str) -> Option<String> {
    if blocks.is_empty() {
        return None;
    }
    let blocks: Vec<Block> = blocks
        .iter()
        .map(|block| match block {
            ThinkingBlock::Thinking {
                thinking,
                signature,
            } => Block::Thinking(thinking.clone(), signature.clone()),
            ThinkingBlock::RedactedThinking { data } => Block::Redacted(data.clone()),
        })
        .collect();
    let content = serde_json::to_vec(&blocks).ok()?;
    seals.seal(Purpose::Reasoning, key_id, &content)
}

/// Returns the reasoning in `sealed`, or `None` if it is not sealed by this gateway for `key_id`.
pub fn open(sealed: &str, seals: &Seals, key_id: &str) -> Option<Vec<Part>> {
    let content = seals.open(Purpose::Reasoning, key_id, sealed)?;
    let blocks: Vec<Block> = serde_json::from_slice(&content).ok()?;
    let part = |block| match block {
        Block::Thinking(text, signature) => Part::Thinking(Thinking { text, signature }),
        Block::Redacted(data) => Part::RedactedThinking(RedactedThinking { data }),
    };
    Some(blocks.into_iter().map(part).collect())
}
