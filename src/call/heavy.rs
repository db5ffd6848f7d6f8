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
        self.0.is_large.store(bytes > LARGE, Ordering::Relaxed);
    }

    /// Does `work`, whose time grows with the body. If the body is large, not on this thread.
    ///
    /// # Errors
    /// That of `work`; 500 while the process exits.
    pub async fn compute<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<R, Error> + Send + 'static,
    ) -> Result<R, Error> {
        if !self.0.is_large.load(Ordering::Relaxed) {
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
