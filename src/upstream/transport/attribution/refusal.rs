//! A caller whose session STS refuses, which says nothing of other callers: a trust policy may allow only some tags.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_credential_types::{Credentials, provider::error::CredentialsError};
use tokio::time::Instant;

use super::{MAX_PAUSE, TICK};

/// When STS has refused a caller.
#[derive(Debug, Default)]
pub struct Refusal(Mutex<Option<Refused>>);

#[derive(Clone, Copy, Debug)]
struct Refused {
    /// Before that, STS is not asked again.
    until: Instant,
    pause: Duration,
}

impl Refusal {
    /// Records what STS has answered for the caller with `key`. A refusal is a
    /// [`CredentialsError::InvalidConfiguration`]; STS is asked again ever more rarely.
    pub fn record(&self, opened: &Result<Credentials, CredentialsError>, key: &str) {
        let mut refused = self.lock();
        match opened {
            Ok(_) => *refused = None,
            Err(error @ CredentialsError::InvalidConfiguration(_)) => {
                if refused.is_none() {
                    let reason = super::super::sdk_interceptor::describe(error);
                    tracing::warn!(
                        key_id = key,
                        reason,
                        "STS refuses a session with the tags of this key (sts:TagSession may be missing); its requests to AWS are signed without them"
                    );
                }
                let pause = refused.map_or(TICK, |before| (before.pause * 2).min(MAX_PAUSE));
                let until = Instant::now() + pause;
                *refused = Some(Refused { until, pause });
            }
            // STS itself has failed.
            Err(_) => {}
        }
    }

    /// Reports whether STS has refused the caller so recently that it is not asked again.
    pub fn is_recent(&self) -> bool {
        self.lock()
            .is_some_and(|refused| refused.until > Instant::now())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Refused>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
