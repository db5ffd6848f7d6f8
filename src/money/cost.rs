use std::ops::Add;

use super::NanoUsd;

/// What one call costs, per bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub input: NanoUsd,
    pub cache_read: NanoUsd,
    pub cache_write: NanoUsd,
    pub cache_write_1h: NanoUsd,
    /// Reasoning included.
    pub output: NanoUsd,
    pub server_tools: NanoUsd,
    /// Of the input, billed by the piece.
    pub images: NanoUsd,
    /// Of passages, by models of its own.
    pub reranking: NanoUsd,
}

impl Cost {
    pub fn total(&self) -> NanoUsd {
        let Self {
            input,
            cache_read,
            cache_write,
            cache_write_1h,
            output,
            server_tools,
            images,
            reranking,
        } = *self;
        [
            input,
            cache_read,
            cache_write,
            cache_write_1h,
            output,
            server_tools,
            images,
            reranking,
        ]
        .into_iter()
        .sum()
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            input: self.input + other.input,
            cache_read: self.cache_read + other.cache_read,
            cache_write: self.cache_write + other.cache_write,
            cache_write_1h: self.cache_write_1h + other.cache_write_1h,
            output: self.output + other.output,
            server_tools: self.server_tools + other.server_tools,
            images: self.images + other.images,
            reranking: self.reranking + other.reranking,
        }
    }
}
