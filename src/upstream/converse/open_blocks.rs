//! The content blocks of a reply that have begun and not ended.

use serde_json::Value;

use super::blocks::{Block, ReasoningBlock};
use crate::error::{Error, Kind};

/// The most content blocks and citations of an answer. A model that calls a tool with its every word writes fewer. A broken
/// service could send them for ever.
const MAX_BLOCKS: u32 = 10_000;

/// Blocks by their index. Reasoning has a list of its own, because a block can have both.
#[derive(Debug, Default)]
pub struct OpenBlocks {
    open: Vec<(u32, Block)>,
    reasoning: Vec<(u32, ReasoningBlock)>,
    /// How many blocks have begun, and how many citations they have.
    begun: u32,
}

impl OpenBlocks {
    /// Begins a block.
    pub fn open(&mut self, index: u32, block: Block) {
        self.begun = self.begun.saturating_add(1);
        // Past the cap, the caller ends the answer.
        if self.begun <= MAX_BLOCKS {
            self.open.push((index, block));
        }
    }

    /// Adds a citation to a block, which begins at the character `start` if it has not begun.
    pub fn cite(&mut self, index: u32, start: usize, citation: Value) {
        let begin = || Block::Cited {
            start,
            citations: Vec::new(),
        };
        self.begun = self.begun.saturating_add(1);
        // Past the cap, the caller ends the answer.
        if self.begun <= MAX_BLOCKS
            && let Some(Block::Cited { citations, .. }) = self.get_or_open(index, begin)
        {
            citations.push(citation);
        }
    }

    /// # Errors
    /// 502 if too many blocks have begun.
    pub fn check(&self) -> Result<(), Error> {
        if self.begun <= MAX_BLOCKS {
            return Ok(());
        }
        let text = format!(
            "Bedrock's answer has more than {MAX_BLOCKS} content blocks and citations; it was ended there and is incomplete."
        );
        Err(Error::new(Kind::Upstream, text)
            .with_code("upstream_malformed")
            .may_be_billed())
    }

    /// Returns an open block.
    pub fn find(&self, index: u32) -> Option<&Block> {
        let mut open = self.open.iter();
        open.find(|(open, _)| *open == index)
            .map(|(_, block)| block)
    }

    /// Returns an open block to change.
    pub fn get(&mut self, index: u32) -> Option<&mut Block> {
        let mut open = self.open.iter_mut();
        open.find(|(open, _)| *open == index)
            .map(|(_, block)| block)
    }

    /// Returns an open block, which begins here if it has not begun.
    pub fn get_or_open(&mut self, index: u32, new: impl FnOnce() -> Block) -> Option<&mut Block> {
        if self.open.iter().all(|(open, _)| *open != index) {
            self.open(index, new());
        }
        self.get(index)
    }

    /// Returns the reasoning of a block, which begins here if it has not begun. Past the cap, all reasoning is one block.
    pub fn reasoning(&mut self, index: u32) -> &mut ReasoningBlock {
        let at = self.reasoning.iter().position(|(open, _)| *open == index);
        let at = at.unwrap_or_else(|| {
            self.begun = self.begun.saturating_add(1);
            if self.begun <= MAX_BLOCKS || self.reasoning.is_empty() {
                self.reasoning.push((index, ReasoningBlock::default()));
            }
            self.reasoning.len() - 1
        });
        &mut self.reasoning[at].1
    }

    /// Ends a block.
    pub fn close(&mut self, index: u32) -> Option<Block> {
        let at = self.open.iter().position(|(open, _)| *open == index)?;
        Some(self.open.swap_remove(at).1)
    }

    /// Ends the reasoning of a block.
    pub fn close_reasoning(&mut self, index: u32) -> Option<ReasoningBlock> {
        let at = self.reasoning.iter().position(|(open, _)| *open == index)?;
        Some(self.reasoning.swap_remove(at).1)
    }

    /// Ends all blocks but reasoning.
    pub fn close_all(&mut self) -> impl Iterator<Item = Block> + use<> {
        std::mem::take(&mut self.open)
            .into_iter()
            .map(|(_, block)| block)
    }
}
