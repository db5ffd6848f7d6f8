//! Reasoning that plain OpenAI clients lose. Claude wants the signed reasoning of a turn back with
//! the results of its tool calls, in the turn's order; OpenAI's clients do not know it. So each turn
//! is kept for a while, by the ids of its calls, and put back.

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

/// Bytes of reasoning that are kept, and about how many calls that may be.
const CAPACITY: u64 = 32 << 20;
const CALLS: usize = 10_000;

/// Remembers the reasoning of turns that call tools, and restores it in their order. What is put
/// back is input, so this comes before limits and budgets.
#[derive(Clone)]
pub struct Reasoning(Arc<ReasoningCache>);

/// Bounded in memory; what is evicted is lost, and then the call goes on without reasoning.
type ReasoningCache = Cache<Key, Arc<Turn>, Bytes>;

/// Whose call it was: one caller never gets another's reasoning, nor one model another's.
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
        if !served.model.facts.reasoning.signed {
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

    fn find(&self, call: &Call<Chat, Unplanned>, message: &Message) -> Option<Arc<Turn>> {
        if message.role != Role::Assistant {
            return None;
        }
        let is_signed = |part: &Part| match part {
            Part::Thinking(thinking) => thinking.signature.is_some(),
            Part::RedactedThinking(_) => true,
            _ => false,
        };
        // A client that sends its own reasoning back may have changed what it belongs to.
        let own = message.parts.iter().filter(|part| is_signed(part)).count();
        let calls = message.tool_uses();
        let turn = calls
            .filter_map(|one| {
                self.0
                    .get(&Key::new(&call.caller.key_id, &call.model, &one.id))
            })
            .next()?;
        (own == 0 || turn.has_thoughts_of(message)).then_some(turn)
    }
}

#[cfg(test)]
mod tests;
