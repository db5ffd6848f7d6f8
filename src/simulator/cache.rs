//! The prompt cache: a prefix up to a cache point is written once and read after that.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::answer::weight;

/// The cached prefixes. They never expire, because a simulated service does not run for long.
#[derive(Debug, Default)]
pub struct PromptCache(HashMap<String, usize>);

/// The tokens of one request that the cache has read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheUsage {
    pub read: usize,
    pub write_5m: usize,
    pub write_1h: usize,
}

impl PromptCache {
    pub fn look_up(&mut self, model_id: &str, request: &Value) -> CacheUsage {
        let mut cached = CacheUsage::default();
        let mut prefix = model_id.to_owned();
        let (mut tokens, mut written) = (0, 0);
        let messages = request["messages"].as_array().into_iter().flatten();
        let lists = [&request["toolConfig"]["tools"], &request["system"]].into_iter();
        let blocks = lists.chain(messages.map(|message| &message["content"]));
        for block in blocks.filter_map(Value::as_array).flatten() {
            let point = &block["cachePoint"];
            if !point.is_object() {
                prefix.push_str(&block.to_string());
                tokens += weight(block);
            } else if let Some(known) = self.0.get(&prefix) {
                cached.read = *known;
                written = tokens;
            } else {
                self.0.insert(prefix.clone(), tokens);
                let new = tokens - written.max(cached.read).min(tokens);
                written = tokens;
                if point["ttl"] == "1h" {
                    cached.write_1h += new;
                } else {
                    cached.write_5m += new;
                }
            }
        }
        cached
    }
}

impl CacheUsage {
    /// The members of `usage` that report the cache.
    pub fn usage(self) -> Value {
        let details = [("5m", self.write_5m), ("1h", self.write_1h)];
        let details = details.into_iter().filter(|(_, tokens)| *tokens > 0);
        let details: Vec<Value> = details
            .map(|(ttl, tokens)| json!({"ttl": ttl, "inputTokens": tokens}))
            .collect();
        json!({
            "cacheReadInputTokens": self.read,
            "cacheWriteInputTokens": self.write_5m + self.write_1h,
            "cacheDetails": details,
        })
    }

    pub fn total(self) -> usize {
        self.read + self.write_5m + self.write_1h
    }
}
