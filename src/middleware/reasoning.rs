//! Restores the reasoning that OpenAI clients do not send back. Claude requires the signed reasoning of a turn, in its
//! original order, along with the results of the turn's tool calls, and GPT models continue from their encrypted
//! reasoning, but OpenAI's clients drop both. This middleware caches
//! each turn by the ids of its tool calls.

use std::sync::Arc;

use quick_cache::{Weighter, sync::Cache};
use tower::Service;

use super::{Middleware, Reply};
use crate::{
    call::{Call, Unplanned},
    error::Error,
    model::Model,
    operation::chat::{Chat, Message, Part, Role},
};

mod turn;

use turn::{Recorder, Turn};

/// The capacity of the cache, in bytes.
const CAPACITY: u64 = 32 << 20;

/// The expected number of tool calls in the cache.
const CALLS: usize = 10_000;

/// Caches the reasoning of turns that call tools, and restores it in later requests. Runs before limits and budgets,
/// because restored reasoning is billed as input.
#[derive(Clone)]
pub struct Reasoning(Arc<ReasoningCache>);

/// Cached turns. If a turn was evicted, the call continues without its reasoning.
type ReasoningCache = Cache<Key, Arc<Turn>, Bytes>;

/// The key of a tool call. Contains the caller and the model, so that reasoning never reaches another caller or model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    key_id: String,
    target: String,
    call_id: String,
}

impl Key {
    fn new(key_id: &str, model: &Model, call_id: &str) -> Self {
        let target = model.target().id.clone();
        Self {
            key_id: key_id.to_owned(),
            target,
            call_id: call_id.to_owned(),
        }
    }
}

/// Weighs cached turns by their size in bytes.
#[derive(Clone)]
struct Bytes;

impl Weighter<Key, Arc<Turn>> for Bytes {
    fn weight(&self, key: &Key, turn: &Arc<Turn>) -> u64 {
        let own = key.key_id.len() + key.target.len() + key.call_id.len();
        (own + turn.bytes()) as u64 + 100
    }
}

impl Default for Reasoning {
    fn default() -> Self {
        Self(Arc::new(Cache::with_weighter(CALLS, CAPACITY, Bytes)))
    }
}

impl Middleware<Chat, Unplanned> for Reasoning {
    async fn handle<S>(
        &self,
        mut call: Call<Chat, Unplanned>,
        mut next: S,
    ) -> Result<Reply<Chat>, Error>
    where
        S: Service<Call<Chat, Unplanned>, Response = Reply<Chat>, Error = Error, Future: Send>
            + Send,
    {
        self.restore(&mut call);
        let (key_id, cache) = (call.caller.key_id.clone(), self.0.clone());
        let served = next.call(call).await?;
        let facts = &served.model.facts.reasoning;
        if !facts.signed && !facts.redacted {
            return Ok(served);
        }
        let model = served.model.clone();
        let mut recorders: Vec<Recorder> = Vec::new();
        Ok(served.map(|reply| {
            reply.inspect(move |step| {
                let choice = step.choice as usize;
                if recorders.len() <= choice {
                    recorders.resize_with(choice + 1, Recorder::default);
                }
                if let Some(turn) = recorders[choice].observe(&step.chunk) {
                    let turn = Arc::new(turn);
                    for call_id in turn.calls() {
                        cache.insert(Key::new(&key_id, &model, call_id), turn.clone());
                    }
                }
            })
        }))
    }
}

impl Reasoning {
    /// Restores the reasoning of all cached turns in the conversation.
    fn restore(&self, call: &mut Call<Chat, Unplanned>) {
        let found: Vec<(usize, Arc<Turn>)> = (0..)
            .zip(&call.body.messages)
            .filter_map(|(index, message)| Some((index, self.find(call, message)?)))
            .collect();
        if found.is_empty() {
            return;
        }
        let chat = Arc::make_mut(&mut call.body);
        for (index, turn) in found {
            chat.bytes += turn.restore(&mut chat.messages[index]);
        }
    }

    /// Returns the cached turn for `message`, if the client did not send reasoning that differs from it.
    fn find(&self, call: &Call<Chat, Unplanned>, message: &Message) -> Option<Arc<Turn>> {
        if message.role != Role::Assistant {
            return None;
        }
        let is_signed = |part: &Part| match part {
            Part::Thinking(thinking) => thinking.signature.is_some(),
            Part::RedactedThinking(_) => true,
            _ => false,
        };
        // If the client sends other signed reasoning, the signatures fit only the order that the client sends.
        let own = message.parts.iter().filter(|part| is_signed(part)).count();
        let calls = message.tool_uses();
        let turn = calls
            .filter_map(|one| {
                self.0
                    .get(&Key::new(&call.caller.key_id, &call.model, &one.id))
            })
            .next()?;
        (own == 0 || turn.has_reasoning_of(message)).then_some(turn)
    }
}

#[cfg(test)]
mod tests;
