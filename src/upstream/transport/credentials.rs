//! Credentials that are refreshed in the background, ahead of their expiry. Requests wait for the credential service only
//! if no valid credentials are left.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
use tokio::time::{Instant, sleep, timeout};

use super::sdk_interceptor::describe;

/// How long before their expiry credentials are refreshed.
const AHEAD: Duration = Duration::from_secs(300);
/// Time limit for the credential service.
const TIMEOUT: Duration = Duration::from_secs(5);
/// After a failure, requests get the same failure for this long. Otherwise each of them would wait for the service.
const FAILED_FOR: Duration = Duration::from_secs(1);
/// The pauses between attempts of the background refresh.
const MIN_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);

tokio::task_local! {
    /// The credentials that sign the request of this task, if not those of the account. A task-local, because the SDK
    /// hands nothing of a request to what provides credentials.
    static OF_REQUEST: Option<Credentials>;
}

/// Runs `work`, whose requests are signed with `credentials` instead of the account's.
pub fn signing_with<F: Future>(
    credentials: Option<Credentials>,
    work: F,
) -> impl Future<Output = F::Output> {
    OF_REQUEST.scope(credentials, work)
}

/// A cache of credentials. Cheap to clone; clones share the credentials.
#[derive(Clone)]
pub struct CredentialCache(Arc<Inner>);

struct Inner {
    source: SharedCredentialsProvider,
    state: Mutex<State>,
    /// Held while the source is asked, so that concurrent requests share one answer.
    loading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    current: Option<Credentials>,
    /// When `current` is to be replaced; `None` if it does not expire.
    due: Option<Instant>,
    /// The last failure, if it came after `current`.
    failure: Option<(Instant, String)>,
    /// When the credentials were last discarded.
    discarded: Option<Instant>,
}

impl CredentialCache {
    /// Creates an empty cache in front of `source`.
    pub fn new(source: SharedCredentialsProvider) -> Self {
        Self(Arc::new(Inner {
            source,
            state: Mutex::default(),
            loading: tokio::sync::Mutex::default(),
        }))
    }

    /// Returns valid credentials.
    ///
    /// # Errors
    /// The reason, if none are left and the source yields none within its time limit.
    pub async fn get(&self) -> Result<Credentials, String> {
        if let Some(valid) = self.valid() {
            return Ok(valid);
        }
        timeout(TIMEOUT, async {
            let _loading = self.0.loading.lock().await;
            match (self.valid(), self.recent_failure()) {
                (Some(valid), _) => Ok(valid),
                (None, Some(failure)) => Err(failure),
                (None, None) => self.load().await,
            }
        })
        .await
        .unwrap_or_else(|_| Err("the credential service did not answer".to_owned()))
    }

    /// Returns the credentials that sign a request of this task.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn of_request(&self) -> Result<Credentials, String> {
        match OF_REQUEST.try_with(Clone::clone) {
            Ok(Some(credentials)) => Ok(credentials),
            _ => self.get().await,
        }
    }

    /// Refreshes the credentials, unless that has happened while this waited for its turn.
    ///
    /// # Errors
    /// The reason, if the source yields none.
    pub async fn renew(&self) -> Result<(), String> {
        let _loading = self.0.loading.lock().await;
        match self.is_stale() {
            true => self.load().await.map(drop),
            false => Ok(()),
        }
    }

    /// Reports whether there are no valid credentials, or their refresh is due.
    pub fn is_stale(&self) -> bool {
        self.valid().is_none() || self.is_due()
    }

    /// Refreshes the credentials until the future is dropped.
    pub async fn keep_fresh(&self) {
        let mut failures = 0;
        loop {
            let left = match self.is_due() {
                true => {
                    let _loading = self.0.loading.lock().await;
                    self.load().await
                }
                false => self.get().await,
            };
            let pause = match left {
                Ok(_) => {
                    if failures > 0 {
                        tracing::info!("the AWS credentials are fresh again");
                    }
                    failures = 0;
                    let due = self.state().due;
                    due.map_or(MAX_PAUSE, |due| due.duration_since(Instant::now()))
                }
                Err(reason) => {
                    if failures == 0 {
                        let usable = self.valid().is_some();
                        tracing::warn!(reason, usable, "cannot refresh the AWS credentials");
                    }
                    failures += 1;
                    MIN_PAUSE * 2u32.saturating_pow(failures - 1).min(60)
                }
            };
            sleep(pause.clamp(MIN_PAUSE, MAX_PAUSE)).await;
        }
    }

    /// Discards the credentials, because the service rejected them, but at most once in `every`. Returns whether it did.
    pub fn discard(&self, every: Duration) -> bool {
        let mut state = self.state();
        let is_due = state.discarded.is_none_or(|at| at.elapsed() > every);
        if is_due {
            *state = State {
                discarded: Some(Instant::now()),
                ..State::default()
            };
        }
        is_due
    }

    /// Asks the source. The caller holds `loading`.
    async fn load(&self) -> Result<Credentials, String> {
        let loaded = match timeout(TIMEOUT, self.0.source.provide_credentials()).await {
            Ok(loaded) => loaded.map_err(|error| describe(&error)),
            Err(_) => Err("the credential service did not answer".to_owned()),
        };
        let mut state = self.state();
        match &loaded {
            Ok(credentials) => {
                state.due = credentials
                    .expiry()
                    .map(|expiry| Instant::now() + lifetime(expiry));
                state.current = Some(credentials.clone());
                state.failure = None;
            }
            Err(reason) => state.failure = Some((Instant::now(), reason.clone())),
        }
        loaded
    }

    /// Returns the credentials, unless they have expired.
    pub fn valid(&self) -> Option<Credentials> {
        let current = self.state().current.clone();
        let is_valid = |expiry| expiry > SystemTime::now();
        current.filter(|credentials| credentials.expiry().is_none_or(is_valid))
    }

    fn is_due(&self) -> bool {
        self.state().due.is_some_and(|due| due <= Instant::now())
    }

    fn recent_failure(&self) -> Option<String> {
        let state = self.state();
        let (at, reason) = state.failure.as_ref()?;
        (at.elapsed() < FAILED_FOR).then(|| reason.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns for how long credentials are used before they are refreshed. Sources such as the instance metadata hand out
/// credentials that expire within the next minutes, and have new ones soon after.
fn lifetime(expiry: SystemTime) -> Duration {
    let left = expiry.duration_since(SystemTime::now()).unwrap_or_default();
    left.saturating_sub(AHEAD).max(left / 4)
}

impl ProvideCredentials for CredentialCache {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async move {
            let credentials = self.of_request().await;
            credentials.map_err(CredentialsError::provider_error)
        })
    }
}

impl fmt::Debug for CredentialCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialCache").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
