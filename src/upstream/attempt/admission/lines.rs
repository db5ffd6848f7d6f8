//! The calls that wait for a model: a line for each key, served by deficit round robin (Shreedhar and Varghese, 1996), so
//! that each key that waits gets the same share of the tokens, however many calls it makes and however large they are.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use tokio::sync::oneshot;

use super::super::health::Room;
use crate::{call::Trace, model::Model};

/// The tokens that a key may use at each turn. As many as a large call needs, so that few turns pass without one.
const QUANTUM: u64 = 32_768;

/// A call that waits.
pub struct Waiter<R = Room> {
    pub model: Arc<Model>,
    /// The tokens that it needs.
    pub tokens: u64,
    pub trace: Trace,
    /// Receives the room. Closed if the call does not wait any more.
    pub grant: oneshot::Sender<R>,
}

/// The calls that wait for a model.
pub struct Lines<R = Room> {
    lines: HashMap<String, Line<R>>,
    /// The keys of the lines, the one whose turn it is first.
    turns: VecDeque<String>,
}

struct Line<R> {
    /// The tokens that the key may still use at this turn.
    deficit: u64,
    waiters: VecDeque<Waiter<R>>,
}

impl<R> Default for Lines<R> {
    fn default() -> Self {
        Self {
            lines: HashMap::new(),
            turns: VecDeque::new(),
        }
    }
}

impl<R> Waiter<R> {
    fn is_waiting(&self) -> bool {
        !self.grant.is_closed() && !self.trace.is_client_gone()
    }
}

impl<R> Lines<R> {
    /// The number of calls.
    pub fn count(&self) -> usize {
        self.lines.values().map(|line| line.waiters.len()).sum()
    }

    /// Adds a call of `key`.
    pub fn push(&mut self, key: &str, waiter: Waiter<R>) {
        if !self.lines.contains_key(key) {
            self.turns.push_back(key.to_owned());
        }
        let new = || Line {
            deficit: 0,
            waiters: VecDeque::new(),
        };
        let line = self.lines.entry(key.to_owned()).or_insert_with(new);
        line.waiters.push_back(waiter);
    }

    /// Grants room in turn for as long as `reserve` returns some. Calls that do not wait any more are removed. The first
    /// call that does not fit keeps its turn, or small calls of others would delay it forever.
    pub fn serve(&mut self, mut reserve: impl FnMut(&Waiter<R>) -> Option<R>) {
        self.lines.retain(|_, line| {
            line.waiters.retain(Waiter::is_waiting);
            !line.waiters.is_empty()
        });
        self.turns.retain(|key| self.lines.contains_key(key));
        while let Some(key) = self.turns.front() {
            let Some(line) = self.lines.get_mut(key) else {
                self.turns.pop_front();
                continue;
            };
            let Some(first) = line.waiters.front() else {
                // A key that does not wait saves up nothing.
                self.lines.remove(key);
                self.turns.pop_front();
                continue;
            };
            if first.tokens > line.deficit {
                line.deficit += QUANTUM;
                self.turns.rotate_left(1);
                continue;
            }
            let Some(room) = reserve(first) else {
                return;
            };
            line.deficit -= first.tokens;
            if let Some(first) = line.waiters.pop_front() {
                // If it has just left, its room is dropped, which gives it back.
                let _ = first.grant.send(room);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Target;

    type Grants = Vec<(&'static str, Trace, oneshot::Receiver<()>)>;

    /// Adds `count` calls of `key`.
    fn add(lines: &mut Lines<()>, grants: &mut Grants, key: &'static str, count: u64, tokens: u64) {
        for _ in 0..count {
            let (grant, granted) = oneshot::channel();
            let trace = Trace::default();
            let waiter = Waiter {
                model: Arc::new(Model::new("m", Target::new("example.m", "us-east-1"))),
                tokens,
                trace: trace.clone(),
                grant,
            };
            lines.push(key, waiter);
            grants.push((key, trace, granted));
        }
    }

    /// Grants room for `tokens`.
    fn serve(lines: &mut Lines<()>, mut tokens: u64) {
        lines.serve(|waiter| {
            tokens = tokens.checked_sub(waiter.tokens)?;
            Some(())
        });
    }

    /// Returns the number of calls of `key` that got room and were not counted before.
    fn granted(grants: &mut Grants, key: &str) -> usize {
        let own = grants.iter_mut().filter(|(own, ..)| *own == key);
        own.filter_map(|(.., granted)| granted.try_recv().ok())
            .count()
    }

    #[test]
    fn keys_share_the_tokens_however_many_calls_they_make() {
        let (mut lines, mut grants) = (Lines::default(), Grants::new());
        add(&mut lines, &mut grants, "greedy", 500, 5000);
        add(&mut lines, &mut grants, "large", 50, 20_000);
        add(&mut lines, &mut grants, "small", 900, 1000);
        serve(&mut lines, 1_500_000);
        let counts = ["greedy", "large", "small"].map(|key| granted(&mut grants, key));
        let tokens = [counts[0] * 5000, counts[1] * 20_000, counts[2] * 1000];
        let is_fair = |tokens: &usize| (400_000..=600_000).contains(tokens);
        assert!(tokens.iter().all(is_fair), "{tokens:?}");
    }

    #[test]
    fn large_call_is_not_overtaken_forever() {
        let (mut lines, mut grants) = (Lines::default(), Grants::new());
        add(&mut lines, &mut grants, "large", 1, 100_000);
        for _ in 0..10 {
            add(&mut lines, &mut grants, "small", 10, 1000);
            serve(&mut lines, 10_000);
        }
        let overtaken = granted(&mut grants, "small");
        assert!(overtaken <= 40, "{overtaken}");
        serve(&mut lines, 100_000);
        assert_eq!(granted(&mut grants, "large"), 1);
    }

    #[test]
    fn calls_that_do_not_wait_any_more_are_removed() {
        let (mut lines, mut grants) = (Lines::default(), Grants::new());
        add(&mut lines, &mut grants, "one", 3, 10);
        grants[0].1.set_client_gone();
        drop(grants.remove(1));
        serve(&mut lines, 0);
        assert_eq!(lines.count(), 1);
        assert!(
            grants[0]
                .2
                .try_recv()
                .is_err_and(|error| error == oneshot::error::TryRecvError::Closed)
        );
        serve(&mut lines, 100);
        assert_eq!((lines.count(), granted(&mut grants, "one")), (0, 1));
    }
}
