//! What waits for the writer. Whoever needs an answer wakes it at once; everything else waits a little, so that under load
//! the thread is woken some hundred times a second and not once for every call.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

/// How long work waits for more that nobody waits for.
const LINGER: Duration = Duration::from_millis(3);

#[derive(Debug)]
pub struct Queue<J>(Mutex<State<J>>, Condvar);

#[derive(Debug)]
struct State<J> {
    jobs: VecDeque<J>,
    urgent: bool,
    closed: bool,
}

/// The end that sends. The queue is closed when it is dropped.
#[derive(Debug)]
pub struct Sender<J>(Arc<Queue<J>>);

impl<J> Queue<J> {
    /// Both ends.
    pub fn new() -> (Sender<J>, Arc<Self>) {
        let state = State {
            jobs: VecDeque::new(),
            urgent: false,
            closed: false,
        };
        let queue = Arc::new(Self(Mutex::new(state), Condvar::new()));
        (Sender(queue.clone()), queue)
    }

    /// At most `most` jobs in the order in which they were sent; none of them after `patience`. `None`: the queue is
    /// closed, and empty.
    pub fn next(&self, most: usize, patience: Duration) -> Option<Vec<J>> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let nothing = |state: &mut State<J>| state.jobs.is_empty() && !state.closed;
        let (state, _) = self
            .1
            .wait_timeout_while(state, patience, nothing)
            .unwrap_or_else(PoisonError::into_inner);
        let calm = |state: &mut State<J>| {
            !state.jobs.is_empty() && state.jobs.len() < most && !state.urgent && !state.closed
        };
        let (mut state, _) = self
            .1
            .wait_timeout_while(state, LINGER, calm)
            .unwrap_or_else(PoisonError::into_inner);
        if state.jobs.is_empty() && state.closed {
            return None;
        }
        let count = state.jobs.len().min(most);
        let batch = state.jobs.drain(..count).collect();
        // What is left may be what somebody waits for.
        state.urgent = state.urgent && !state.jobs.is_empty();
        Some(batch)
    }
}

impl<J> Sender<J> {
    /// `urgent`: somebody waits for it.
    pub fn send(&self, job: J, urgent: bool) {
        let Queue(state, wake) = &*self.0;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let first = state.jobs.is_empty();
        state.jobs.push_back(job);
        state.urgent |= urgent;
        drop(state);
        if first || urgent {
            wake.notify_one();
        }
    }
}

impl<J> Drop for Sender<J> {
    fn drop(&mut self) {
        self.0
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed = true;
        self.0.1.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_comes_in_order_and_then_the_end() {
        let (sender, queue) = Queue::new();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            while let Some(batch) = queue.next(3, Duration::from_secs(60)) {
                assert!(batch.len() <= 3);
                all.extend(batch);
            }
            all
        });
        (0..1000).for_each(|job| sender.send(job, job % 7 == 0));
        drop(sender);
        assert_eq!(reader.join().unwrap(), (0..1000).collect::<Vec<_>>());
    }
}
