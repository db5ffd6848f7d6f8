//! Work on large requests, apart from the threads that serve connections.

use std::sync::atomic::Ordering;

use super::Trace;
use crate::error::{Error, Kind};

/// Bodies above this size, in bytes, are parsed and translated on a thread of their own: that takes milliseconds, in which a
/// worker would serve nobody else.
const LARGE: usize = 256 * 1024;

impl Trace {
    /// Records the size of the request's body, in bytes.
    pub fn set_body_size(&self, bytes: usize) {
        self.0
            .shared
            .is_large
            .store(bytes > LARGE, Ordering::Relaxed);
    }

    /// Does `work`, whose time grows with the body. If the body is large, not on this thread.
    ///
    /// # Errors
    /// That of `work`; 500 while the process exits.
    pub async fn compute<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<R, Error> + Send + 'static,
    ) -> Result<R, Error> {
        if !self.0.shared.is_large.load(Ordering::Relaxed) {
            return work();
        }
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(Error::new(Kind::Internal, "The gateway is exiting.")
                    .with_detail(error.to_string())),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use super::*;

    #[tokio::test]
    async fn work_on_a_large_body_does_not_block_the_thread_that_serves_others() {
        let trace = Trace::default();
        trace.set_body_size(LARGE + 1);
        let (go_on, waits) = mpsc::channel();
        // Ends only after the other task has run, on the only thread of the runtime.
        let work = move || {
            let went_on = waits.recv_timeout(Duration::from_secs(20));
            Ok((went_on.is_ok(), thread::current().id()))
        };
        let other = async move { go_on.send(()) };
        let (done, sent) = tokio::join!(trace.compute(work), other);
        sent.unwrap();
        let (went_on, worker) = done.unwrap();
        assert!(went_on && worker != thread::current().id());
    }

    #[tokio::test]
    async fn work_on_a_small_body_stays_on_its_thread() {
        let trace = Trace::default();
        trace.set_body_size(LARGE);
        let worker = trace.compute(|| Ok(thread::current().id())).await;
        assert_eq!(worker.unwrap(), thread::current().id());
    }
}
