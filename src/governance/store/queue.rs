//! The queue of the writer. An urgent job wakes the writer at once. Other jobs may wait a few milliseconds, so that
//! under load the thread wakes some hundred times a second and not once per call.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

/// How long a job that is not urgent waits for others to join its batch.
const LINGER: Duration = Duration::from_millis(3);

/// The receiving end.
#[derive(Debug)]
pub struct Queue<J>(Mutex<QueueState<J>>, Condvar);

#[derive(Debug)]
struct QueueState<J> {
    jobs: VecDeque<J>,
    urgent: bool,
    closed: bool,
    /// The reader has ended. Jobs are dropped, so that nobody waits for them.
    abandoned: bool,
}

/// The sending end. Dropping it closes the queue.
#[derive(Debug)]
pub struct Sender<J>(Arc<Queue<J>>);

impl<J> Queue<J> {
    /// Returns both ends of a new queue.
    pub fn new() -> (Sender<J>, Arc<Self>) {
        let state = QueueState {
            jobs: VecDeque::new(),
            urgent: false,
            closed: false,
            abandoned: false,
        };
        let queue = Arc::new(Self(Mutex::new(state), Condvar::new()));
        (Sender(queue.clone()), queue)
    }

    /// Waits for jobs and returns at most `max` of them, in the order in which they were sent. Returns an empty batch
    /// after `timeout`, and none once the queue is closed and empty.
    pub fn next(&self, max: usize, timeout: Duration) -> Option<Vec<J>> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_idle = |state: &mut QueueState<J>| state.jobs.is_empty() && !state.closed;
        let (state, _) = self
            .1
            .wait_timeout_while(state, timeout, is_idle)
            .unwrap_or_else(PoisonError::into_inner);
        let can_linger = |state: &mut QueueState<J>| {
            !state.jobs.is_empty() && state.jobs.len() < max && !state.urgent && !state.closed
        };
        let (mut state, _) = self
            .1
            .wait_timeout_while(state, LINGER, can_linger)
            .unwrap_or_else(PoisonError::into_inner);
        if state.jobs.is_empty() && state.closed {
            return None;
        }
        let count = state.jobs.len().min(max);
        let batch = state.jobs.drain(..count).collect();
        // The urgent job may be among those left.
        state.urgent = state.urgent && !state.jobs.is_empty();
        Some(batch)
    }
}

impl<J> Queue<J> {
    /// Drops all jobs, and those that are sent from now on. Call it when nobody reads the queue any more.
    pub fn abandon(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.abandoned = true;
        let jobs = std::mem::take(&mut state.jobs);
        drop(state);
        drop(jobs);
    }
}

impl<J> Sender<J> {
    /// Appends a job. An `urgent` one has a caller that waits for it. Returns false if the job was dropped, because nobody
    /// reads the queue any more.
    pub fn send(&self, job: J, urgent: bool) -> bool {
        let Queue(state, wake) = &*self.0;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.abandoned {
            return false;
        }
        let first = state.jobs.is_empty();
        state.jobs.push_back(job);
        state.urgent |= urgent;
        drop(state);
        if first || urgent {
            wake.notify_one();
        }
        true
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
    fn jobs_arrive_in_order_and_then_the_queue_ends() {
        let (sender, queue) = Queue::new();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            while let Some(batch) = queue.next(3, Duration::from_secs(60)) {
                assert!(batch.len() <= 3);
                all.extend(batch);
            }
            all
        });
        (0..1000).for_each(|job| assert!(sender.send(job, job % 7 == 0)));
        drop(sender);
        assert_eq!(reader.join().unwrap(), (0..1000).collect::<Vec<_>>());
    }

    /// Callers waited for ever for a writer that had ended.
    #[test]
    fn jobs_of_an_abandoned_queue_are_dropped() {
        let (sender, queue) = Queue::new();
        let job = std::sync::Arc::new(());
        sender.send(job.clone(), true);
        queue.abandon();
        assert!(!sender.send(job.clone(), true));
        assert_eq!(std::sync::Arc::strong_count(&job), 1);
    }
}
